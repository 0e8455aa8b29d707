// Prints what the consumer hands to its callback, one JSON object a line.
const { consumeMessages } = require('./consumer');

consumeMessages(process.env.TOPICS.split(','), (topic, message) => {
    console.log(JSON.stringify({ heard: { topic, message } }));
}).catch((error) => {
    console.error(error);
    process.exit(1);
});

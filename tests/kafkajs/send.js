// Sends what stands on the standard input: an array of [topic, message].
const { sendMessage } = require('./producer');

(async () => {
    const chunks = [];
    for await (const chunk of process.stdin) chunks.push(chunk);
    for (const [topic, message] of JSON.parse(Buffer.concat(chunks).toString())) {
        await sendMessage(topic, message);
    }
})();

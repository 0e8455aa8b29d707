// Runs every audit against the URL that is given, and prints what came of each, one JSON object a line.
const { serverAudits } = require('graphql-http');

const url = process.argv[2];
(async () => {
    for (const audit of serverAudits({ url })) {
        const { id, name, status, reason } = await audit.fn();
        console.log(JSON.stringify({ id, name, status, reason }));
    }
})().catch((error) => {
    console.error(error);
    process.exit(1);
});

// The producer of the other services, as the document of the service that this one replaces has it.
const { Kafka } = require('kafkajs');
require('dotenv').config();

const kafka = new Kafka({
    clientId: 'course-management-service',
    brokers: [process.env.KAFKA_BROKER],
});

const producer = kafka.producer();

const sendMessage = async (topic, message) => {
    await producer.connect();
    await producer.send({
        topic,
        messages: [{ value: JSON.stringify(message) }],
    });
    await producer.disconnect();
};

module.exports = { sendMessage };

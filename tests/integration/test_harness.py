"""The harness's own servers: what other tests take for granted."""

from contextlib import closing

import pika
import psycopg2

from tests.harness.eventually import eventually
from tests.harness.servers import PostgresServer, RabbitServer


def test_a_confirmed_message_on_a_quorum_queue_survives_the_death_of_the_broker(
    rabbit_server: RabbitServer, amqp_url: str
) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        channel.confirm_delivery()
        channel.basic_publish("", "kept", b"hello", pika.BasicProperties(delivery_mode=2))

    rabbit_server.kill()
    rabbit_server.start()

    def body() -> bytes:
        try:
            with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as again:
                return bytes(again.channel().basic_get("kept")[2] or b"")
        except pika.exceptions.AMQPError as error:
            raise AssertionError(repr(error)) from error

    assert eventually(body, timeout_s=30) == b"hello"


def test_committed_rows_survive_the_death_of_postgres(postgres_server: PostgresServer, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    postgres_server.kill()
    postgres_server.start()

    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        assert cursor.fetchall() == [(42,)]

//! The Rust code of `README.md` and of `harness/conformance/README.md`, compiled. The names in it that
//! stand for a user's code are those of `stand_ins`.

use std::error::Error;

use mqttspec::{ClientCommand, ClientEvent, Net as _, Tests};

use crate::stand_ins::{MyCore, my_broker};

type Outcome = Result<(), Box<dyn Error>>;

#[rustfmt::skip]
#[expect(dead_code, reason = "a program is not run by a test")]
mod broker {
    use crate::stand_ins::my_broker;

    // README.md 1
    use mqttspec::{Listener, Net};

    fn main() -> std::process::ExitCode {
        mqttspec::conformance()
            .broker(|host| async move {
                let listener = host.net().listen(1883).await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    tokio::task::spawn_local(my_broker::serve(stream));
                }
            })
            .known_failures("tests/mqttspec-known.toml")
            .main()
    }
    // end
}

#[rustfmt::skip]
pub(crate) fn client() -> Tests {
    use crate::stand_ins::simple_client as my_client;

    // README.md 2
    mqttspec::conformance().client(|host, mut app| async move {
        let mut client = my_client::Client::new();
        loop {
            let (id, command) = app.command().await;
            match command {
                ClientCommand::Connect(connect) => {
                    let stream = host.net().connect("broker", 1883).await?;
                    let session_present = client.connect(stream, &connect.client_id).await?;
                    app.tell(ClientEvent::Connected { session_present });
                }
                ClientCommand::Publish(message) => {
                    client.publish(&message.topic, &message.payload).await?;
                    app.tell(ClientEvent::Published { id, reason: 0 });
                }
                _ => return Err(host.unsupported("more than to connect and to publish").into()),
            }
        }
    })
    // end
}

#[rustfmt::skip]
pub(crate) async fn test_broker() -> Outcome {
    use crate::stand_ins::simple_client as my_client;

    // README.md 3
    let broker = mqttspec::TestBroker::start()?; // stops when it is dropped
    my_client::connect(broker.address()).await?;
    // end
    Ok(())
}

#[rustfmt::skip]
pub(crate) fn conformance_client() -> Tests {
    use crate::stand_ins::client_with_events as my_client;

    // harness/conformance/README.md 1
    mqttspec::conformance().client(|host, mut app| async move {
        let mut client = my_client::Client::new(app.version());
        loop {
            tokio::select! {
                biased;
                (id, command) = app.command() => match command {
                    ClientCommand::Connect(connect) => {
                        if let Some(field) = connect.others.keys().next() {
                            return Err(host.unsupported(format!("the field {field} of CONNECT")).into());
                        }
                        let stream = host.net().connect("broker", 1883).await?;
                        client.connect(stream, &connect.client_id, connect.clean_start).await?;
                    }
                    ClientCommand::Publish(message) => client.publish(id, message.topic, message.payload).await?,
                    _ => return Err(host.unsupported("a command other than these").into()),
                },
                event = client.next() => match event {
                    my_client::Event::Connected { session_present } => {
                        app.tell(ClientEvent::Connected { session_present });
                    }
                    my_client::Event::Published { id } => app.tell(ClientEvent::Published { id, reason: 0 }),
                },
            }
        }
    })
    // end
}

#[rustfmt::skip]
pub(crate) fn turmoil() -> Tests {
    // harness/conformance/README.md 2
    mqttspec::conformance().broker_in_turmoil(|_host| async {
        let listener = turmoil::net::TcpListener::bind(("0.0.0.0", 1883)).await?;
        loop {
            tokio::task::spawn_local(my_broker::serve(listener.accept().await?.0));
        }
    })
    // end
}

#[rustfmt::skip]
pub(crate) fn core() -> Tests {
    // harness/conformance/README.md 3
    mqttspec::conformance().broker_core(|host| Ok(MyCore::new(host.seed())))
    // end
}

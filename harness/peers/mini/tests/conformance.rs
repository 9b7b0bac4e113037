use std::rc::Rc;

use mqttspec::{Listener, Net};

fn main() -> std::process::ExitCode {
    mqttspec::conformance()
        .broker(|host| async move {
            let listener = host.net().listen(1883).await?;
            let clients = mini_broker::Clients::default();
            for number in 0.. {
                let (stream, _) = listener.accept().await?;
                tokio::task::spawn_local(mini_broker::serve(stream, number, Rc::clone(&clients)));
            }
            Ok(())
        })
        .known_failures("known.toml")
        .main()
}

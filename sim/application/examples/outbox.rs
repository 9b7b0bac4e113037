//! Jobs go through the outbox to a worker while the broker crashes: each ends with the decision of
//! the worker.
#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::error::Error;

use mqttspec_application::{Acknowledgement, Client, PubAckReason, QoS, message};
use mqttspec_net::TestBroker;

fn main() -> Result<(), Box<dyn Error>> {
    let broker = TestBroker::start()?;

    let mut worker = Client::builder(&broker.url())?.client_id("worker")?;
    worker.options().acknowledge_deliveries = true;
    worker.options().acknowledgement = Acknowledgement::Manual;
    let worker = worker.connect().wait()?;
    let jobs = worker.subscribe("jobs", QoS::AtLeastOnce)?.wait()?;
    let decides = worker.clone();
    jobs.for_each(move |job| {
        let reason = if job.payload == "burn" { PubAckReason::NotAuthorized } else { PubAckReason::Success };
        // The decision waits in the worker's queue if there is no connection.
        decides.acknowledge(&job, reason).detach();
    })?;

    let file = std::env::temp_dir().join(format!("outbox-{}.redb", std::process::id()));
    let builder = Client::builder(&broker.url())?.client_id("office")?.store(&file);
    let office = builder.option("delivery_retry", "1s")?.connect().wait()?;
    let pending: Vec<_> = ["print", "burn", "copy"]
        .into_iter()
        .map(|job| message("jobs", job).map(|publication| (job, office.deliver(publication))))
        .collect::<Result<_, _>>()?;
    broker.restart()?;
    for (job, ended) in pending {
        match ended.wait() {
            Ok(by) => println!("{job}: done by {}", by.unwrap_or_default()),
            Err(error) => println!("{job}: {error}"),
        }
    }
    let statistics = office.delivery_statistics().wait()?;
    println!(
        "{} deliveries, success rate {:.2}",
        statistics.total,
        statistics.success_rate.unwrap_or_default()
    );
    office.stop().wait()?;
    std::fs::remove_file(file)?;
    Ok(())
}

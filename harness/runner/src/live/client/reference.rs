//! The reference client as an adapter: the commands come from the standard input, and the replies
//! and events go to the standard output.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::rc::Rc;

use mqttspec_client::{
    self as client, Delivered, DisconnectRequest, Handle, Options, Publication, SubscribeRequest,
    UnsubscribeRequest,
};
use mqttspec_codec::{
    DisconnectReason, HasProperties, Properties, PubAckReason, QoS, RetainHandling, SessionExpiryInterval,
    TopicFilter, TopicName, Version,
};
use mqttspec_net::client::{ClientObserved, Commander, client as drive_client};
use mqttspec_net::store::DiskStore;
use mqttspec_net::transport::LiveNet;
use mqttspec_net::{Clock, RealDisk};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::task::{JoinHandle, LocalSet};

use super::properties::PacketProperties;
use super::protocol::{
    Answer, Command, Connect, DISK, Disconnect, Event, Hello, New, RECONNECT, Reply, Request, Trouble,
};
use crate::peers::commands::reported_error;

/// Runs until the standard input ends.
///
/// # Errors
/// If the standard input is not a pipe, or cannot be read.
pub fn run() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve())
}

async fn serve() -> io::Result<()> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let mut input = pipe::Receiver::from_owned_fd(input)?;
    let (mut read, mut running) = (Vec::new(), None);
    loop {
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = read.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Request { id, command }) => {
                    let reply = handle(id, command, &mut running);
                    print(&json!(Answer { id, reply }));
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            // The client takes a command after its reply, so that no event comes before.
            tokio::task::yield_now().await;
        }
        if input.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}

fn print(line: &Value) {
    let mut output = io::stdout().lock();
    // If the output is not read, the input ends too.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// The client that `new` made.
struct Running {
    options: Options,
    commander: Commander,
    handles: Rc<Handles>,
    task: JoinHandle<()>,
}

/// Which command of the protocol a command of the client is.
#[derive(Default)]
struct Handles {
    sent: RefCell<std::collections::VecDeque<u64>>,
    taken: RefCell<BTreeMap<Handle, u64>>,
    is_dropped: Cell<bool>,
}

fn handle(id: u64, command: Command, running: &mut Option<Running>) -> Reply {
    let done = match command {
        Command::Hello { .. } => return Reply::Ok(json!(hello())),
        Command::New(new) => make(&new).map(|made| *running = Some(made)),
        Command::Drop {} => {
            if let Some(Running { handles, task, .. }) = running.take() {
                handles.is_dropped.set(true);
                task.abort();
            }
            Ok(())
        }
        command => match running {
            Some(running) => give(id, command, running),
            None => Err("there is no client".to_owned()),
        },
    };
    match done {
        Ok(()) => Reply::Ok(json!({})),
        Err(error) => Reply::Error(error),
    }
}

fn hello() -> Hello {
    Hello {
        name: "mqttspec reference client".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        language: "Rust".to_owned(),
        versions: Version::ALL.iter().map(ToString::to_string).collect(),
        supports: [RECONNECT, DISK].map(str::to_owned).into(),
        silent: Vec::new(),
    }
}

fn make(new: &New) -> Result<Running, String> {
    let mut options = Options::default();
    for (name, value) in &new.options {
        options.set(name, value).map_err(|error| error.to_string())?;
    }
    options.set("version", &new.version).map_err(|error| error.to_string())?;
    (options.address, options.port) = (new.address.clone(), Some(new.port));
    let disk = RealDisk::new(&new.state_dir).map_err(|error| error.to_string())?;
    let store = DiskStore::open(disk).map_err(|error| error.to_string())?;
    let clock = Clock::of_this_machine();
    let seed = clock.now().as_nanos() as u64;
    let handles = Rc::new(Handles::default());
    let of_tap = handles.clone();
    let tap = move |_: core::time::Duration, what: ClientObserved<'_>| match what {
        ClientObserved::Core(event) => told(event, &of_tap),
        ClientObserved::Commanded { handle } => {
            let id = of_tap.sent.borrow_mut().pop_front();
            of_tap.taken.borrow_mut().extend(id.map(|id| (handle, id)));
        }
        _ => {}
    };
    let net = LiveNet::of(&options).map_err(|error| error.to_string())?;
    let (mut handle, driver) =
        drive_client(net, options.clone(), seed, clock, store, tap).map_err(|error| error.to_string())?;
    let commander = handle.commander();
    let task = tokio::task::spawn_local(async move {
        tokio::select! {
            ended = driver => if let Err(error) = ended {
                let _ = writeln!(io::stderr(), "the client ended: {error}");
            },
            // The events were printed already, but the queue must be emptied.
            () = async { while handle.event().await.is_some() {} } => {}
        }
    });
    Ok(Running { options, commander, handles, task })
}

fn give(id: u64, command: Command, running: &mut Running) -> Result<(), String> {
    let command = client_command(command, &running.options)?;
    running.handles.sent.borrow_mut().push_back(id);
    running.commander.send(command).map(drop).map_err(|gone| gone.to_string())
}

fn client_command(command: Command, options: &Options) -> Result<client::Command, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    Ok(match command {
        Command::Connect(connect) => {
            client::Command::Connect(Some(Box::new(connect_options(connect, options.clone())?)))
        }
        Command::Publish(publish) => {
            let topic = TopicName::try_from(publish.topic.as_str()).map_err(|error| text(&error))?;
            let qos = QoS::try_from(publish.qos).map_err(|_| "qos is 0, 1 or 2".to_owned())?;
            let publication = Publication::new(topic, publish.payload).qos(qos);
            let properties = packet_properties(&publish.properties)?;
            client::Command::Publish(Publication { retain: publish.retain, properties, ..publication })
        }
        Command::Subscribe { subscriptions, properties } => {
            let subscriptions = subscriptions.into_iter().map(|subscription| {
                Ok(mqttspec_codec::Subscription {
                    filter: TopicFilter::try_from(subscription.filter.as_str())
                        .map_err(|error| text(&error))?,
                    qos: QoS::try_from(subscription.qos).map_err(|_| "qos is 0, 1 or 2".to_owned())?,
                    no_local: subscription.no_local,
                    retain_as_published: subscription.retain_as_published,
                    retain_handling: match subscription.retain_handling {
                        0 => RetainHandling::SendAtSubscribe,
                        1 => RetainHandling::SendIfNew,
                        _ => RetainHandling::DoNotSend,
                    },
                })
            });
            let subscriptions = subscriptions.collect::<Result<Vec<_>, String>>()?;
            client::Command::Subscribe(SubscribeRequest {
                subscriptions,
                properties: packet_properties(&properties)?,
            })
        }
        Command::Unsubscribe { filters, properties } => {
            let properties = packet_properties(&properties)?;
            let filters = filters.iter().map(|filter| TopicFilter::try_from(filter.as_str()));
            let filters = filters.collect::<Result<Vec<_>, _>>().map_err(|error| text(&error))?;
            client::Command::Unsubscribe(UnsubscribeRequest { filters, properties })
        }
        Command::Acknowledge { message, reason } => {
            let reason = PubAckReason::try_from(reason).map_err(|_| "no Reason Code of PUBACK".to_owned())?;
            client::Command::Acknowledge { message: Delivered(message), reason }
        }
        Command::Disconnect(Disconnect { reason, session_expiry }) => {
            let mut properties = Properties::new();
            if let Some(seconds) = session_expiry {
                properties.set(SessionExpiryInterval(seconds));
            }
            let reason =
                DisconnectReason::try_from(reason).map_err(|_| "no Reason Code of DISCONNECT".to_owned())?;
            client::Command::Disconnect(DisconnectRequest { reason, properties })
        }
        Command::Reauthenticate {} => client::Command::Reauthenticate,
        Command::Hello { .. } | Command::New(_) | Command::Drop {} => {
            return Err("not a command to a client".to_owned());
        }
    })
}

fn packet_properties<P: HasProperties>(properties: &PacketProperties) -> Result<Properties<P>, String> {
    properties.in_packet().ok_or_else(|| "the packet cannot have these properties".to_owned())
}

fn connect_options(connect: Connect, mut options: Options) -> Result<Options, String> {
    let mut fields = connect.others;
    fields.insert("client_id".to_owned(), connect.client_id);
    options.clean_start = Some(connect.clean_start);
    options.keep_alive = connect.keep_alive;
    if let Some(seconds) = connect.session_expiry {
        options.session_expiry = seconds;
    }
    if let Some(will) = connect.will {
        fields.insert("will_topic".to_owned(), will.topic);
        options.will_payload =
            will.payload.try_into().map_err(|_| "the Will Payload is too long".to_owned())?;
        options.will_qos = QoS::try_from(will.qos).map_err(|_| "qos is 0, 1 or 2".to_owned())?;
        options.will_retain = will.retain;
        fields.extend(will.others.into_iter().map(|(name, value)| (format!("will_{name}"), value)));
    }
    for (name, value) in &fields {
        options.set(name, value).map_err(|error| error.to_string())?;
    }
    Ok(options)
}

fn told(event: &client::Event, handles: &Handles) {
    let of = |handle: &Handle| handles.taken.borrow_mut().remove(handle);
    let trouble = |error: &client::Error| {
        let error = reported_error(error);
        Trouble { error: Some(error.kind.to_owned()), reason: error.reason, text: error.text }
    };
    let line = match event {
        client::Event::Connected { session_present, .. } => {
            Some(Event::Connected { session_present: *session_present })
        }
        client::Event::Disconnected { error, .. } => {
            Some(Event::Disconnected(error.as_ref().map(trouble).unwrap_or_default()))
        }
        client::Event::Failed { handle, error } => {
            of(handle).map(|id| Event::Failed { id: Some(id), trouble: trouble(error) })
        }
        client::Event::Dropped { handle } => {
            of(handle).map(|id| Event::Failed { id: Some(id), trouble: Trouble::default() })
        }
        client::Event::GaveUp { error } => Some(Event::Failed { id: None, trouble: trouble(error) }),
        client::Event::Message(message) => Some(Event::Received {
            message: message.delivered.map(|delivered| delivered.0),
            topic: message.topic.as_str().to_owned(),
            payload: message.payload.to_vec(),
            qos: message.qos.into(),
            retain: message.retain,
            dup: message.dup,
            properties: Some(PacketProperties::of(&message.properties)),
        }),
        client::Event::Published { handle, reason, .. } => {
            of(handle).map(|id| Event::Published { id, reason: (*reason).into() })
        }
        client::Event::Subscribed { handle, reasons, .. } => of(handle).map(|id| Event::Subscribed {
            id,
            reasons: reasons.iter().map(|reason| (*reason).into()).collect(),
        }),
        client::Event::Unsubscribed { handle, .. } => of(handle).map(|id| Event::Unsubscribed { id }),
        client::Event::Reauthenticated { handle } => of(handle).map(|id| Event::Reauthenticated { id }),
        client::Event::Acknowledged { handle } => of(handle).map(|id| Event::Acknowledged { id }),
        _ => None,
    };
    if let Some(line) = line.filter(|_| !handles.is_dropped.get()) {
        print(&json!(line));
    }
}

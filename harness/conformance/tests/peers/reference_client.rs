//! The reference client as a hosted peer.

use core::cell::RefCell;
use core::fmt::Display;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::rc::Rc;

use mqttspec_client::{
    Command, Delivered, DisconnectRequest, Error as ClientError, ErrorKind, Event, Handle, Options,
    Publication, SubscribeRequest, UnsubscribeRequest,
};
use mqttspec_codec::{
    DisconnectReason, Properties, PubAckReason, QoS, RetainHandling, SessionExpiryInterval, TopicFilter,
    TopicName,
};
use mqttspec_conformance::{
    App, ClientCommand, ClientEvent, CommandId, Connect, Events, Net, PacketProperties, PeerResult,
    Subscription, Trouble, WorldHost,
};
use mqttspec_net::Clock;
use mqttspec_net::client::{ClientObserved, client};
use mqttspec_net::store::{DiskStore, Store};

/// Which command of the application a command of the client is.
#[derive(Default)]
struct Commands {
    sent: VecDeque<CommandId>,
    open: BTreeMap<Handle, CommandId>,
}

/// The reference client on its host.
pub(crate) async fn reference_client(host: WorldHost, app: App, reconnects: bool) -> PeerResult {
    let (net, store) = (host.net(), DiskStore::open(host.disk())?);
    reference_client_on(host, app, net, store, reconnects).await
}

/// The reference client, with another network or store.
pub(crate) async fn reference_client_on(
    host: WorldHost,
    mut app: App,
    net: impl Net,
    store: impl Store + 'static,
    reconnects: bool,
) -> PeerResult {
    let mut options = Options { reconnect: reconnects, ..Options::default() };
    for (name, value) in host.options() {
        options.set(name, value)?;
    }
    options.set("version", &app.version().to_string())?;
    "broker".clone_into(&mut options.address);
    options.port = Some(1883);
    let (seed, clock) = (host.seed().child("client").to_u64(), Clock::showing(host.now()));
    let commands = Rc::new(RefCell::new(Commands::default()));
    let (events, of_tap) = (app.events(), commands.clone());
    let tap = move |_: Duration, what: ClientObserved<'_>| match what {
        ClientObserved::Core(event) => tell(event, &mut of_tap.borrow_mut(), &events),
        ClientObserved::Commanded { handle } => {
            let mut commands = of_tap.borrow_mut();
            let id = commands.sent.pop_front();
            commands.open.extend(id.map(|id| (handle, id)));
        }
        _ => {}
    };
    let (mut handle, driver) = client(net, options.clone(), seed, clock, store, tap)?;
    let commander = handle.commander();
    // The events were observed already, but the queue must be emptied.
    tokio::task::spawn_local(async move { while handle.event().await.is_some() {} });
    let mut driver = core::pin::pin!(driver);
    loop {
        tokio::select! {
            biased;
            ended = &mut driver => return Ok(ended?),
            (id, command) = app.command() => {
                commands.borrow_mut().sent.push_back(id);
                drop(commander.send(translated(command, &options)?)?);
            }
        }
    }
}

fn translated(command: ClientCommand, options: &Options) -> Result<Command, Box<dyn Error>> {
    Ok(match command {
        ClientCommand::Connect(connect) => Command::Connect(Some(Box::new(connected(connect, options)?))),
        ClientCommand::Publish(message) => {
            let topic = TopicName::try_from(message.topic.as_str())?;
            let publication = Publication::new(topic, message.payload).qos(qos(message.qos)?);
            let properties =
                message.properties.in_packet().ok_or("the message cannot have these properties")?;
            Command::Publish(Publication { retain: message.retain, properties, ..publication })
        }
        ClientCommand::Subscribe(subscriptions) => {
            let subscriptions = subscriptions.iter().map(subscribed).collect::<Result<_, _>>()?;
            Command::Subscribe(SubscribeRequest { subscriptions, properties: Properties::new() })
        }
        ClientCommand::Unsubscribe(filters) => {
            let filters = filters.iter().map(|filter| TopicFilter::try_from(filter.as_str()));
            let filters = filters.collect::<Result<_, _>>()?;
            Command::Unsubscribe(UnsubscribeRequest { filters, properties: Properties::new() })
        }
        ClientCommand::Acknowledge { message, reason } => {
            let reason = PubAckReason::try_from(reason).map_err(|_| unknown(reason))?;
            Command::Acknowledge { message: Delivered(message), reason }
        }
        ClientCommand::Disconnect(request) => {
            let mut properties = Properties::new();
            if let Some(seconds) = request.session_expiry {
                properties.set(SessionExpiryInterval(seconds));
            }
            let reason = DisconnectReason::try_from(request.reason).map_err(|_| unknown(request.reason))?;
            Command::Disconnect(DisconnectRequest { reason, properties })
        }
    })
}

fn connected(connect: Connect, options: &Options) -> Result<Options, Box<dyn Error>> {
    let mut options = options.clone();
    options.set("client_id", &connect.client_id)?;
    options.clean_start = Some(connect.clean_start);
    options.keep_alive = connect.keep_alive;
    options.session_expiry = connect.session_expiry.unwrap_or(options.session_expiry);
    if let Some(will) = connect.will {
        options.set("will_topic", &will.topic)?;
        options.will_payload = will.payload.try_into()?;
        options.will_qos = qos(will.qos)?;
        options.will_retain = will.retain;
        for (name, value) in &will.others {
            options.set(&format!("will_{name}"), value)?;
        }
    }
    for (name, value) in &connect.others {
        options.set(name, value)?;
    }
    Ok(options)
}

fn subscribed(subscription: &Subscription) -> Result<mqttspec_codec::Subscription, Box<dyn Error>> {
    Ok(mqttspec_codec::Subscription {
        filter: TopicFilter::try_from(subscription.filter.as_str())?,
        qos: qos(subscription.qos)?,
        no_local: subscription.no_local,
        retain_as_published: subscription.retain_as_published,
        retain_handling: match subscription.retain_handling {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            _ => RetainHandling::DoNotSend,
        },
    })
}

fn qos(level: u8) -> Result<QoS, String> {
    QoS::try_from(level).map_err(|_| unknown(level))
}

fn unknown(number: impl Display) -> String {
    format!("the number {number} is not known here")
}

fn tell(event: &Event, commands: &mut Commands, events: &Events) {
    let mut of = |handle: &Handle| commands.open.remove(handle);
    let told = match event {
        Event::Connected { session_present, .. } => {
            Some(ClientEvent::Connected { session_present: *session_present })
        }
        Event::Disconnected { error, .. } => {
            Some(ClientEvent::Disconnected(error.as_ref().map(trouble).unwrap_or_default()))
        }
        Event::Failed { handle, error } => {
            of(handle).map(|id| ClientEvent::Failed { id: Some(id), trouble: trouble(error) })
        }
        Event::Dropped { handle } => {
            of(handle).map(|id| ClientEvent::Failed { id: Some(id), trouble: Trouble::default() })
        }
        Event::GaveUp { error } => Some(ClientEvent::Failed { id: None, trouble: trouble(error) }),
        Event::Message(message) => Some(ClientEvent::Received {
            message: message.delivered.map(|delivered| delivered.0),
            topic: message.topic.as_str().to_owned(),
            payload: message.payload.to_vec(),
            qos: message.qos.into(),
            retain: message.retain,
            dup: message.dup,
            properties: Some(PacketProperties::of(&message.properties)),
        }),
        Event::Published { handle, reason, .. } => {
            of(handle).map(|id| ClientEvent::Published { id, reason: (*reason).into() })
        }
        Event::Subscribed { handle, reasons, .. } => of(handle).map(|id| ClientEvent::Subscribed {
            id,
            reasons: reasons.iter().map(|reason| (*reason).into()).collect(),
        }),
        Event::Unsubscribed { handle, .. } => of(handle).map(|id| ClientEvent::Unsubscribed { id }),
        Event::Acknowledged { handle } => of(handle).map(|id| ClientEvent::Acknowledged { id }),
        _ => None,
    };
    told.into_iter().for_each(|event| events.tell(event));
}

fn trouble(error: &ClientError) -> Trouble {
    let kind = match error.kind() {
        ErrorKind::Network => "network",
        ErrorKind::Authentication => "authentication",
        ErrorKind::TimeOut => "timeout",
        ErrorKind::Protocol => "protocol",
        ErrorKind::Application => "application",
    };
    let reason = match error {
        ClientError::Refused { reason, .. } => Some((*reason).into()),
        ClientError::DisconnectedByServer { reason, .. } => Some((*reason).into()),
        ClientError::PublishRefused { reason, .. } => Some((*reason).into()),
        _ => None,
    };
    Trouble { error: Some(kind.to_owned()), reason, text: error.to_string() }
}

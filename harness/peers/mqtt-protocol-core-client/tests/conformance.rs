//! The client side of `mqtt-protocol-core` as published, for MQTT 5.0. It is sans-I/O: this driver opens
//! the Network Connections, carries out the events of the core in their order, and keeps its timers. The
//! core keeps the Session; the application connects again after a loss.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::pending;
use std::time::Duration;

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Packet, Property, Qos, ReceiveMaximum, RetainHandling, SessionExpiryInterval,
    SubEntry, SubOpts, TopicAliasMaximum, v5_0,
};
use mqtt_protocol_core::mqtt::prelude::*;
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, DisconnectReasonCode};
use mqtt_protocol_core::mqtt::{Connection, Version as CoreVersion, role};
use mqttspec::{
    App, ClientCommand, ClientEvent, CommandId, Connect, Net, PeerResult, Subscription, Trouble, Version,
    WorldHost, WorldNet,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

type Stream = <WorldNet as Net>::Stream;

/// How long this application lets a Server take to answer PINGREQ.
const PINGRESP_TIMEOUT_MS: u64 = 5_000;

/// How long it lets a Network Connection take to open.
const DIAL_TIMEOUT: Duration = Duration::from_secs(4);

fn main() -> std::process::ExitCode {
    mqttspec::conformance()
        .client(|host, app| async move {
            if app.version() != Version::V5 {
                return Err(host.unsupported("a version other than 5.0 in the glue").into());
            }
            let mut connection = Connection::<role::Client>::new(CoreVersion::V5_0);
            connection.set_auto_pub_response(true);
            connection.set_auto_ping_response(true);
            connection.set_offline_publish(true);
            connection.set_pingresp_recv_timeout(PINGRESP_TIMEOUT_MS);
            let driver = Driver {
                connection,
                app,
                stream: None,
                is_connected: false,
                has_session: false,
                client_id: String::new(),
                timers: BTreeMap::new(),
                open: BTreeMap::new(),
            };
            driver.run(host).await
        })
        .name("mqtt-protocol-core 0.7.9, client")
        .known_failures("known.toml")
        .main()
}

struct Driver {
    connection: Connection<role::Client>,
    app: App,
    stream: Option<Stream>,
    /// The Server has accepted CONNECT.
    is_connected: bool,
    /// A Session that a CONNECT before this one began, and that this one does not discard.
    has_session: bool,
    /// Whose Session that is.
    client_id: String,
    timers: BTreeMap<u8, (Instant, TimerKind)>,
    /// The commands that have not ended, by Packet Identifier.
    open: BTreeMap<u16, CommandId>,
}

impl Driver {
    async fn run(mut self, host: WorldHost) -> PeerResult {
        let mut buffer = vec![0; 4096];
        loop {
            let due = self.timers.values().map(|(at, _)| *at).min();
            tokio::select! {
                biased;
                (id, command) = self.app.command() => self.command(&host, id, command).await?,
                read = read(self.stream.as_mut(), &mut buffer) => match read {
                    Some(length @ 1..) => self.received(&buffer[..length]).await,
                    _ => self.lost("the Network Connection was closed"),
                },
                () = until(due) => self.timer().await,
            }
        }
    }

    async fn command(
        &mut self,
        host: &WorldHost,
        id: CommandId,
        command: ClientCommand,
    ) -> Result<(), Box<dyn Error>> {
        match command {
            ClientCommand::Connect(connect) => {
                let packet = connect_packet(host, &connect)?;
                self.has_session &= !connect.clean_start && connect.client_id == self.client_id;
                self.client_id.clone_from(&connect.client_id);
                let net = host.net();
                let dialled = net.connect("broker", 1883);
                match tokio::time::timeout(DIAL_TIMEOUT, dialled).await {
                    Ok(Ok(stream)) => {
                        self.stream = Some(stream);
                        self.send(packet.into()).await;
                    }
                    _ => self
                        .app
                        .tell(ClientEvent::Failed { id: None, trouble: trouble("it cannot be opened") }),
                }
            }
            ClientCommand::Publish(message) if !message.properties.is_empty() => {
                return Err(host.unsupported("properties of a message in the glue").into());
            }
            ClientCommand::Publish(message) => {
                let builder = v5_0::Publish::builder().topic_name(message.topic)?.payload(message.payload);
                let builder = builder.qos(qos(message.qos)).retain(message.retain);
                if message.qos == 0 {
                    let sent = self.send(builder.build()?.into()).await;
                    self.ends_unless(sent.then_some(ClientEvent::Published { id, reason: 0 }), id);
                } else {
                    let packet_id = self.connection.acquire_packet_id()?;
                    self.open.insert(packet_id, id);
                    if !self.send(builder.packet_id(packet_id).build()?.into()).await {
                        self.open.remove(&packet_id);
                        self.ends_unless(None, id);
                    }
                }
            }
            ClientCommand::Subscribe(subscriptions) => {
                let packet_id = self.connection.acquire_packet_id()?;
                self.open.insert(packet_id, id);
                let entries = subscriptions.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
                let packet = v5_0::Subscribe::builder().packet_id(packet_id).entries(entries).build()?;
                if !self.send(packet.into()).await {
                    self.ends_unless(None, id);
                }
            }
            ClientCommand::Unsubscribe(filters) => {
                let packet_id = self.connection.acquire_packet_id()?;
                self.open.insert(packet_id, id);
                let packet = v5_0::Unsubscribe::builder().packet_id(packet_id).entries(filters)?.build()?;
                if !self.send(packet.into()).await {
                    self.ends_unless(None, id);
                }
            }
            ClientCommand::Acknowledge { .. } => {
                return Err(host.unsupported("acknowledging by hand").into());
            }
            ClientCommand::Disconnect(disconnect) => {
                let reason = match disconnect.reason {
                    0 => DisconnectReasonCode::NormalDisconnection,
                    4 => DisconnectReasonCode::DisconnectWithWillMessage,
                    other => {
                        return Err(host.unsupported(format!("the reason {other} of DISCONNECT")).into());
                    }
                };
                let mut properties = Vec::new();
                if let Some(seconds) = disconnect.session_expiry {
                    properties.push(Property::SessionExpiryInterval(SessionExpiryInterval::new(seconds)?));
                }
                let packet = v5_0::Disconnect::builder().reason_code(reason).props(properties).build()?;
                // The application is told about its own end only once.
                self.is_connected = false;
                self.send(packet.into()).await;
                self.close();
                self.app.tell(ClientEvent::Disconnected(Trouble::default()));
            }
        }
        Ok(())
    }

    /// Tells the end of a command: with the event, or that it failed.
    fn ends_unless(&self, event: Option<ClientEvent>, id: CommandId) {
        let failed = ClientEvent::Failed { id: Some(id), trouble: trouble("the core refuses to send it") };
        self.app.tell(event.unwrap_or(failed));
    }

    /// Gives the core a packet; returns whether it takes it.
    async fn send(&mut self, packet: Packet) -> bool {
        let events = self.connection.send(packet);
        let is_taken = !events.iter().any(|event| matches!(event, Event::NotifyError(_)));
        self.carry_out(events).await;
        is_taken
    }

    async fn received(&mut self, bytes: &[u8]) {
        let mut cursor = Cursor::new(bytes);
        while self.stream.is_some() && (cursor.position() as usize) < bytes.len() {
            let events = self.connection.recv(&mut cursor);
            // The core does not ask for a close after each error. A client can do nothing else.
            let is_wrong = events.iter().any(|event| matches!(event, Event::NotifyError(_)));
            self.carry_out(events).await;
            if is_wrong {
                self.lost("the core found an error in a packet");
            }
        }
    }

    async fn timer(&mut self) {
        let now = Instant::now();
        let due: Vec<u8> =
            self.timers.iter().filter(|(_, (at, _))| *at <= now).map(|(key, _)| *key).collect();
        for (_, kind) in due.iter().filter_map(|key| self.timers.remove(key)).collect::<Vec<_>>() {
            let events = self.connection.notify_timer_fired(kind);
            self.carry_out(events).await;
        }
    }

    async fn carry_out(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    if let Some(stream) = &mut self.stream {
                        // What cannot be sent is noticed when the stream is read.
                        let _ = stream.write_all(&packet.to_continuous_buffer()).await;
                    }
                }
                Event::RequestClose => self.lost("the core closes it"),
                Event::RequestTimerReset { kind, duration_ms } => {
                    let at = Instant::now() + Duration::from_millis(duration_ms);
                    self.timers.insert(key(&kind), (at, kind));
                }
                Event::RequestTimerCancel(kind) => drop(self.timers.remove(&key(&kind))),
                Event::NotifyPacketReceived(packet) => self.packet(packet),
                _ => {}
            }
        }
    }

    fn packet(&mut self, packet: Packet) {
        let of = |open: &mut BTreeMap<u16, CommandId>, id: u16| open.remove(&id);
        let told = match packet {
            // What the core leaves to its user.
            Packet::V5_0Connack(connack) if connack.session_present() && !self.has_session => {
                return self.lost("the Server has a Session that this client does not have");
            }
            Packet::V5_0Auth(_) => return self.lost("this client asked for no authentication method"),
            Packet::V5_0Publish(publish) if publish.topic_name().contains(['+', '#']) => {
                return self.lost("a wildcard in a Topic Name");
            }
            Packet::V5_0Connack(connack) if connack.reason_code() == ConnectReasonCode::Success => {
                (self.is_connected, self.has_session) = (true, true);
                Some(ClientEvent::Connected { session_present: connack.session_present() })
            }
            Packet::V5_0Connack(connack) => {
                let reason = Some(connack.reason_code() as u8);
                self.close();
                Some(ClientEvent::Failed { id: None, trouble: Trouble { reason, ..trouble("refused") } })
            }
            Packet::V5_0Publish(publish) => Some(ClientEvent::Received {
                message: None,
                topic: publish.topic_name().to_owned(),
                payload: publish.payload().as_slice().to_vec(),
                qos: publish.qos() as u8,
                retain: publish.retain(),
                dup: publish.dup(),
                properties: None,
            }),
            Packet::V5_0Puback(puback) => of(&mut self.open, puback.packet_id()).map(|id| {
                ClientEvent::Published { id, reason: puback.reason_code().map_or(0, |code| code as u8) }
            }),
            Packet::V5_0Pubrec(pubrec) if pubrec.reason_code().is_some_and(|code| code as u8 >= 0x80) => {
                of(&mut self.open, pubrec.packet_id()).map(|id| ClientEvent::Published {
                    id,
                    reason: pubrec.reason_code().map_or(0, |code| code as u8),
                })
            }
            Packet::V5_0Pubcomp(pubcomp) => {
                of(&mut self.open, pubcomp.packet_id()).map(|id| ClientEvent::Published { id, reason: 0 })
            }
            Packet::V5_0Suback(suback) => of(&mut self.open, suback.packet_id()).map(|id| {
                let reasons = suback.reason_codes().into_iter().map(|code| code as u8).collect();
                ClientEvent::Subscribed { id, reasons }
            }),
            Packet::V5_0Unsuback(unsuback) => {
                of(&mut self.open, unsuback.packet_id()).map(|id| ClientEvent::Unsubscribed { id })
            }
            Packet::V5_0Disconnect(disconnect) => {
                let reason = disconnect.reason_code().map(|code| code as u8);
                self.is_connected = false;
                self.close();
                Some(ClientEvent::Disconnected(Trouble { reason, ..trouble("by the Server") }))
            }
            _ => None,
        };
        told.into_iter().for_each(|event| self.app.tell(event));
    }

    /// The Network Connection is over, and the application did not ask for that.
    fn lost(&mut self, why: &str) {
        if self.stream.is_none() {
            return;
        }
        let was_connected = std::mem::take(&mut self.is_connected);
        self.close();
        self.app.tell(match was_connected {
            true => ClientEvent::Disconnected(trouble(why)),
            false => ClientEvent::Failed { id: None, trouble: trouble(why) },
        });
    }

    fn close(&mut self) {
        self.stream = None;
        self.timers.clear();
        // It only cancels timers, and releases identifiers that a lost Session had.
        let _ = self.connection.notify_closed();
    }
}

fn connect_packet(host: &WorldHost, connect: &Connect) -> Result<v5_0::Connect, Box<dyn Error>> {
    let mut properties = Vec::new();
    if let Some(seconds) = connect.session_expiry {
        properties.push(Property::SessionExpiryInterval(SessionExpiryInterval::new(seconds)?));
    }
    let mut builder = v5_0::Connect::builder()
        .client_id(connect.client_id.clone())?
        .clean_start(connect.clean_start)
        .keep_alive(connect.keep_alive);
    for (name, value) in &connect.others {
        match name.as_str() {
            "user_name" => builder = builder.user_name(value.clone())?,
            "password" => builder = builder.password(value.clone().into_bytes())?,
            "receive_maximum" => {
                properties.push(Property::ReceiveMaximum(ReceiveMaximum::new(value.parse()?)?));
            }
            "maximum_packet_size" => {
                properties.push(Property::MaximumPacketSize(MaximumPacketSize::new(value.parse()?)?));
            }
            "topic_alias_maximum" => {
                properties.push(Property::TopicAliasMaximum(TopicAliasMaximum::new(value.parse()?)?));
            }
            _ => return Err(host.unsupported(format!("the field {name} of CONNECT in the glue")).into()),
        }
    }
    if let Some(will) = &connect.will {
        if let Some(name) = will.others.keys().next() {
            return Err(host.unsupported(format!("the field {name} of a Will in the glue")).into());
        }
        builder =
            builder.will_message(will.topic.clone(), will.payload.clone(), qos(will.qos), will.retain)?;
    }
    Ok(builder.props(properties).build()?)
}

fn entry(subscription: Subscription) -> Result<SubEntry, Box<dyn Error>> {
    let retain_handling = match subscription.retain_handling {
        0 => RetainHandling::SendRetained,
        1 => RetainHandling::SendRetainedIfNotExists,
        _ => RetainHandling::DoNotSendRetained,
    };
    let options = SubOpts::new()
        .set_qos(qos(subscription.qos))
        .set_nl(subscription.no_local)
        .set_rap(subscription.retain_as_published)
        .set_rh(retain_handling);
    Ok(SubEntry::new(subscription.filter, options)?)
}

async fn read(stream: Option<&mut Stream>, buffer: &mut [u8]) -> Option<usize> {
    match stream {
        Some(stream) => stream.read(buffer).await.ok(),
        None => pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => pending().await,
    }
}

fn key(kind: &TimerKind) -> u8 {
    match kind {
        TimerKind::PingreqSend => 0,
        TimerKind::PingreqRecv => 1,
        TimerKind::PingrespRecv => 2,
    }
}

fn qos(level: u8) -> Qos {
    match level {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

fn trouble(text: &str) -> Trouble {
    Trouble { text: text.to_owned(), ..Trouble::default() }
}

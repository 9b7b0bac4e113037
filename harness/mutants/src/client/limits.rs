//! Limits that the Server announces in CONNACK (§3.2.2.3, §4.9).

use core::num::NonZeroU16;

use mqttspec_codec::{MaximumPacketSize, MaximumQoS, ReceiveMaximum, RetainAvailable, ServerKeepAlive};

use super::mutant;
use crate::edit::edit_connack;
use crate::effect::deliver;
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("receive-maximum-ignored", "ignores the Receive Maximum of the Server")
        .breaks(&["MQTT-3.3.4-7", "MQTT-4.9.0-2"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connack(packet, |ack| {
                ack.properties.remove::<ReceiveMaximum>();
            }))
        }),
    mutant("quota-leaks", "loses a unit of its send quota with every connection")
        .breaks(&["U5-126"], &[])
        .on_incoming(|state, packet| {
            let connections = u16::try_from(state.connection_count()).unwrap_or(u16::MAX);
            deliver(edit_connack(packet, |ack| {
                if let Some(maximum) = ack.properties.get::<ReceiveMaximum>() {
                    let left = maximum.0.get().saturating_sub(connections - 1);
                    ack.properties.set(ReceiveMaximum(NonZeroU16::new(left).unwrap_or(NonZeroU16::MIN)));
                }
            }))
        }),
    mutant("packet-size-ignored", "ignores the Maximum Packet Size of the Server")
        .breaks(&["MQTT-3.2.2-15"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connack(packet, |ack| {
                ack.properties.remove::<MaximumPacketSize>();
            }))
        }),
    mutant("maximum-qos-ignored", "ignores the Maximum QoS of the Server")
        .breaks(&["MQTT-3.2.2-11"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connack(packet, |ack| {
                ack.properties.remove::<MaximumQoS>();
            }))
        }),
    mutant("retain-available-ignored", "sends retained messages to a Server that does not accept them")
        .breaks(&["MQTT-3.2.2-14"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connack(packet, |ack| {
                ack.properties.remove::<RetainAvailable>();
            }))
        }),
    mutant("server-keep-alive-ignored", "ignores the Server Keep Alive")
        .breaks(&["MQTT-3.1.2-21", "MQTT-3.2.2-21", "MQTT-3.1.2-20"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connack(packet, |ack| {
                ack.properties.remove::<ServerKeepAlive>();
            }))
        }),
];

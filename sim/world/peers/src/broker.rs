//! A minimal hand-written broker that supports only CONNECT, PINGREQ and QoS 1 PUBLISH of MQTT 5.0.
//! It has one Session for all clients, and stores on its disk that the Session exists.

use crate::Received;
use mqttspec_ports::{Disk, Listener, Net};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Serves until its host ends.
///
/// # Errors
/// Errors of the host's network.
pub async fn serve<N: Net, D: Disk>(net: N, disk: D, received: Received) -> io::Result<()> {
    let listener = net.listen(1883).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let (disk, received) = (disk.clone(), received.clone());
        tokio::task::spawn_local(async move {
            // A lost client does not affect the others.
            let _gone = converse(&mut stream, &disk, &received).await;
        });
    }
}

async fn converse<S, D>(stream: &mut S, disk: &D, received: &Received) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: Disk,
{
    loop {
        let first = stream.read_u8().await?;
        let mut body = vec![0; remaining_length(stream).await?];
        stream.read_exact(&mut body).await?;
        match first >> 4 {
            // CONNECT: CONNACK with Session Present, Success, no properties.
            1 => {
                let session_present = disk.exists("session")?;
                disk.open("session")?;
                stream.write_all(&[0x20, 3, u8::from(session_present), 0, 0]).await?;
            }
            // PUBLISH: a PUBACK with a Remaining Length of two means Success.
            3 => {
                let (packet_identifier, payload) = published(&body).ok_or(io::ErrorKind::InvalidData)?;
                received.borrow_mut().insert(String::from_utf8_lossy(payload).into_owned());
                let [high, low] = packet_identifier;
                stream.write_all(&[0x40, 2, high, low]).await?;
            }
            // PINGREQ: PINGRESP.
            12 => stream.write_all(&[0xD0, 0]).await?,
            // DISCONNECT, or a packet that this broker does not support.
            _ => return Ok(()),
        }
    }
}

async fn remaining_length<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<usize> {
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Packet Identifier and payload of a QoS 1 PUBLISH whose properties are shorter than 128 bytes.
fn published(body: &[u8]) -> Option<([u8; 2], &[u8])> {
    let (topic_length, rest) = body.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*topic_length))..)?;
    let (packet_identifier, rest) = rest.split_first_chunk::<2>()?;
    let (&properties, rest) = rest.split_first()?;
    Some((*packet_identifier, rest.get(usize::from(properties)..)?))
}

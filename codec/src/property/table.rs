//! The table of all properties: name, Property Identifier, title, and the packets that allow it.
//! `true` after a packet: the property may appear there more than once (§2.2.2.2).

/// Passes the table to another macro.
macro_rules! property_table {
    ($receiver:ident) => { $receiver! {
        PayloadFormatIndicator = 0x01 "Payload Format Indicator", Publish false Will false;
        MessageExpiryInterval = 0x02 "Message Expiry Interval", Publish false Will false;
        ContentType = 0x03 "Content Type", Publish false Will false;
        ResponseTopic = 0x08 "Response Topic", Publish false Will false;
        CorrelationData = 0x09 "Correlation Data", Publish false Will false;
        SubscriptionIdentifier = 0x0B "Subscription Identifier", Publish true Subscribe false;
        SessionExpiryInterval = 0x11 "Session Expiry Interval", Connect false ConnAck false Disconnect false;
        AssignedClientIdentifier = 0x12 "Assigned Client Identifier", ConnAck false;
        ServerKeepAlive = 0x13 "Server Keep Alive", ConnAck false;
        AuthenticationMethod = 0x15 "Authentication Method", Connect false ConnAck false Auth false;
        AuthenticationData = 0x16 "Authentication Data", Connect false ConnAck false Auth false;
        RequestProblemInformation = 0x17 "Request Problem Information", Connect false;
        WillDelayInterval = 0x18 "Will Delay Interval", Will false;
        RequestResponseInformation = 0x19 "Request Response Information", Connect false;
        ResponseInformation = 0x1A "Response Information", ConnAck false;
        ServerReference = 0x1C "Server Reference", ConnAck false Disconnect false;
        ReasonString = 0x1F "Reason String", ConnAck false PubAck false PubRec false PubRel false PubComp false
            SubAck false UnsubAck false Disconnect false Auth false;
        ReceiveMaximum = 0x21 "Receive Maximum", Connect false ConnAck false;
        TopicAliasMaximum = 0x22 "Topic Alias Maximum", Connect false ConnAck false;
        TopicAlias = 0x23 "Topic Alias", Publish false;
        MaximumQoS = 0x24 "Maximum QoS", ConnAck false;
        RetainAvailable = 0x25 "Retain Available", ConnAck false;
        UserProperty = 0x26 "User Property", Connect true ConnAck true Publish true Will true PubAck true PubRec true
            PubRel true PubComp true Subscribe true SubAck true Unsubscribe true UnsubAck true Disconnect true Auth true;
        MaximumPacketSize = 0x27 "Maximum Packet Size", Connect false ConnAck false;
        WildcardSubscriptionAvailable = 0x28 "Wildcard Subscription Available", ConnAck false;
        SubscriptionIdentifierAvailable = 0x29 "Subscription Identifier Available", ConnAck false;
        SharedSubscriptionAvailable = 0x2A "Shared Subscription Available", ConnAck false;
    } };
}
pub(crate) use property_table;

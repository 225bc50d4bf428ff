import IOMMU

/// Brings events to those who asked for them and may see them.
package final class EventHub {
    /// Whether a client may see events about a device that no session holds.
    package typealias MaySee = (_ peer: Peer, _ device: String) -> Bool

    private var clients: [ObjectIdentifier: Client] = [:]
    private let maySee: MaySee
    /// Events that happened while anybody had subscribed, whether or not it was to such.
    package private(set) var published: UInt64 = 0
    /// Copies of events that found a subscriber's queue full.
    package private(set) var lost: UInt64 = 0

    package init(maySee: @escaping MaySee) { self.maySee = maySee }

    /// Clients that have subscribed.
    package var subscribers: Int { clients.count }

    /// A second call replaces what is asked for and keeps the sequence.
    ///
    /// - Parameter all: other sessions' events too, which only administrators may see.
    package func subscribe(
        _ client: Client, kinds: EventKinds, all: Bool = false, sink: any NoticeSink, capacity: Int
    ) {
        let subscription =
            client.subscription
            ?? Subscription(kinds: kinds, sink: sink, capacity: capacity, account: client.session.account)
        subscription.kinds = kinds
        subscription.wantsAll = all && client.peer.identity.isAdmin
        client.subscription = subscription
        clients[ObjectIdentifier(client)] = client
    }

    /// Drops what is still queued for the client as well.
    package func unsubscribe(_ client: Client) {
        clients.removeValue(forKey: ObjectIdentifier(client))
        client.subscription = nil
    }

    /// Stamps the event with the time, where anybody listens.
    ///
    /// - Parameter origin: the session of its context.
    package func publish(_ event: BackendEvent, origin: @autoclosure () -> Event.Origin?) {
        guard !clients.isEmpty else { return }
        publish(Event(event, time: Timestamp.now(), origin: origin()))
    }

    /// Queues the event for each subscriber to its kind who may see it.
    package func publish(_ event: Event) {
        guard !clients.isEmpty else { return }
        published += 1
        for client in clients.values {
            guard let subscription = client.subscription, subscription.kinds.contains(event.kind),
                reaches(event.audience, client, subscription)
            else { continue }
            if subscription.publish(event) { lost += 1 }
        }
    }

    private func reaches(_ audience: Event.Audience, _ client: Client, _ subscription: Subscription) -> Bool {
        switch audience {
        case .context(let context): subscription.wantsAll || client.session.id == context
        case .clients(let listed): subscription.wantsAll || listed.contains(ObjectIdentifier(client))
        case .device(let name): client.peer.identity.isAdmin || maySee(client.peer, name)
        case .administrators: client.peer.identity.isAdmin
        }
    }
}

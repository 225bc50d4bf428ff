import IOMMU
import LinuxIO

/// Brings events to those who asked for them and may see them.
package final class EventHub {
    /// Whether a client may see events about a device that no session holds.
    package typealias MaySee = (_ peer: Peer, _ device: String) -> Bool

    /// Has a piece of work done in one of the next turns, when it is the user's.
    package typealias InPieces = (_ uid: UInt32, _ piece: @escaping (inout TurnBudget) -> Bool) -> Void

    private var clients: [ObjectIdentifier: Client] = [:]
    private let maySee: MaySee
    private let inPieces: InPieces?
    /// So many subscribers are sent an event at once; where there are more, each is in a later turn.
    private static let sentAtOnce = 8
    /// Events that happened while anybody had subscribed, whether or not it was to such.
    package private(set) var published: UInt64 = 0
    /// Copies of events that found a subscriber's queue full.
    package private(set) var lost: UInt64 = 0

    /// - Parameter inPieces: nil: everything is sent at once.
    package init(inPieces: InPieces? = nil, maySee: @escaping MaySee) {
        (self.inPieces, self.maySee) = (inPieces, maySee)
    }

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
        client.subscription?.end()
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
    ///
    /// - Parameter informed: knows already.
    package func publish(_ event: Event, besides informed: Client? = nil) {
        guard !clients.isEmpty else { return }
        published += 1
        let inPieces = clients.count > Self.sentAtOnce ? self.inPieces : nil
        for client in clients.values where client !== informed {
            guard let subscription = client.subscription, subscription.kinds.contains(event.kind),
                reaches(event.audience, client, subscription)
            else { continue }
            if let inPieces {
                if subscription.enqueue(event) { lost += 1 }
                sendLater(subscription, of: client, inPieces)
            } else if subscription.publish(event) {
                lost += 1
            }
        }
    }

    private func sendLater(_ subscription: Subscription, of client: Client, _ inPieces: InPieces) {
        guard !subscription.isToBeSent else { return }
        subscription.isToBeSent = true
        inPieces(client.peer.identity.uid) { budget in
            guard subscription.flush(&budget) else { return false }
            subscription.isToBeSent = false
            return true
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

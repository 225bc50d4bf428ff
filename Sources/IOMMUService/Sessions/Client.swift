import IOMMU
import JSONRPC

/// Where a client's requests can be made to wait.
package protocol RequestGate: AnyObject {
    /// Whether no further request is carried out.
    var isHeld: Bool { get set }
}

extension Connection: RequestGate {}

/// One connection, as the service knows it.
package final class Client {
    /// Who is at the other end.
    package let peer: Peer
    /// Its number among all connections that there ever were: what events of its private session name.
    package let number: UInt64
    /// The private session it came with, or the named one it attached to.
    package internal(set) var session: Session
    /// Where its requests come from; nil in tests without a conversation.
    package var gate: (any RequestGate)?
    /// What it asked to be told of.
    package var subscription: Subscription?
    /// What it is told without having asked, while it has no subscription.
    package var unasked: Subscription?

    /// Rings that it has opened: whoever may read them is its process.
    private var rings: [WeakRing] = []

    private struct WeakRing {
        weak var ring: (any BareSMMURing)?
    }

    func add(_ ring: any BareSMMURing) {
        rings.removeAll { $0.ring == nil }
        rings.append(WeakRing(ring: ring))
    }

    /// Ends the rings that it has opened, and that are still there.
    func closeRings() {
        let open = rings
        rings = []
        for entry in open { entry.ring?.close() }
    }

    init(peer: Peer, number: UInt64, session: Session) {
        self.peer = peer
        self.number = number
        self.session = session
    }
}

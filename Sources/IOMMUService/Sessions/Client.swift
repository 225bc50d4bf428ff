import IOMMU

/// One connection, as the service knows it.
package final class Client {
    package let peer: Peer
    /// The private session it came with, or the named one it attached to.
    package internal(set) var session: Session
    /// What it asked to be told of.
    package var subscription: Subscription?

    init(peer: Peer, session: Session) {
        self.peer = peer
        self.session = session
    }
}

import IOMMU
import JSONRPC

extension Service {
    /// Events of these kinds go to the connection from now on.
    ///
    /// - Parameter all: other sessions' events too; `EPERM` but for administrators.
    func subscribe(
        _ client: Client, on connection: Connection, kinds: EventKinds, all: Bool
    ) throws(IOMMUError) {
        if all { try client.peer.requireAdmin(to: "see the events of other sessions") }
        events.subscribe(
            client, kinds: kinds, all: all, sink: ConnectionSink(connection),
            capacity: configuration.limits.eventQueueDepth)
        connection.onNotificationRoom = { [weak client] in client?.subscription?.flush() }
    }
}

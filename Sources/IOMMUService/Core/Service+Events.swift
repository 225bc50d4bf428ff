import IOMMU
import JSONRPC

extension Service {
    /// Events of these kinds go to the connection from now on.
    func subscribe(_ client: Client, on connection: Connection, kinds: EventKinds) {
        events.subscribe(
            client, kinds: kinds, sink: ConnectionSink(connection), capacity: configuration.limits.eventQueueDepth)
        connection.onNotificationRoom = { [weak client] in client?.subscription?.flush() }
    }
}

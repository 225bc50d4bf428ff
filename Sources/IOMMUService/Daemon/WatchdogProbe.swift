import IOMMU
import JSONRPC

/// Asks the daemon something read-only, the way a client would, to know that it really answers.
///
/// The request goes through the dispatcher and the session table: that a timer of the loop fires would prove little.
final class WatchdogProbe {
    private static let request = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session.list\"}\n"
    private static let answer = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"sessions\":["

    private let service: Service
    private let dispatcher: Dispatcher

    init(service: Service, dispatcher: Dispatcher) {
        self.service = service
        self.dispatcher = dispatcher
    }

    /// Whether the answer is what it has to be.
    func isAnswered() -> Bool {
        let connection = Connection(id: Service.probeID, credentials: nil)
        service.beginProbe()
        defer {
            connection.end()
            service.endProbe()
        }
        let left = dispatcher.consume(Array(Self.request.utf8), from: connection)
        return left.isEmpty && connection.takeOutput().starts(with: Self.answer.utf8)
    }
}

import Glibc
import IOMMU
import IOMMUService
import JSONRPC
import LinuxIO
import Logging
import ServiceTestSupport
import Testing

/// A service over the fake backend, asked in process: no socket, no second process.
final class ServiceBench {
    let backend = FakeBackend()
    let loop: EventLoop
    let service: Service
    let dispatcher: Dispatcher
    private var connections: UInt32 = 0

    init() throws {
        loop = try EventLoop()
        service = Service(
            backend: backend, configuration: Configuration(), facts: DaemonFacts(), loop: loop,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        dispatcher = Dispatcher(MethodCatalog.make(), context: service)
        service.dispatcher = dispatcher
    }

    /// A connection of this user, or another.
    func connect(uid: UInt32 = geteuid()) throws -> Connection {
        connections += 1
        let connection = Connection(
            id: ConnectionID(index: connections, generation: 1),
            credentials: PeerCredentials(pid: getpid(), uid: uid, gid: uid))
        try service.connected(connection)
        return connection
    }

    /// Ends a connection, as the transport does.
    func end(_ connection: Connection) {
        connection.end()
        service.disconnected(connection)
    }

    /// Sends a request; what is answered at once is the reply.
    @discardableResult
    func send(_ method: String, _ params: JSONValue = .object([]), on connection: Connection) throws -> JSONValue? {
        let request = JSONValue.object([
            .init(key: "jsonrpc", value: .string("2.0")), .init(key: "id", value: .count(1)),
            .init(key: "method", value: .string(method)), .init(key: "params", value: params),
        ])
        _ = dispatcher.consume(Array((request.text + "\n").utf8), from: connection)
        let replies = try replies(on: connection)
        for reply in replies {
            if let undeclared = RefusalLedger.shared.enter(reply) { Issue.record("not declared: \(undeclared)") }
        }
        return replies.first
    }

    /// What has been written to a connection and not been looked at.
    func replies(on connection: Connection) throws -> [JSONValue] {
        try connection.takeOutput().split(separator: UInt8(ascii: "\n")).map { try JSONValue(parsing: Array($0)) }
    }
}

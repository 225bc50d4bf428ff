import BareSMMU
import EmulatedIOMMU
import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import Logging
import ServiceTestSupport
import TestSupport
import Testing

@testable import IOMMUService

/// A service asked in process, with played connections in front of it: no socket, no second process.
final class ServiceBench {
    /// Timers and whatever else the service defers; it turns while a played client waits for a reply.
    let loop: EventLoop
    /// What the methods act on.
    let service: Service
    /// Carries out what the played clients send.
    let dispatcher: Dispatcher
    private let executor: StepExecutor
    private var connections: UInt32 = 0

    /// A service over this backend.
    ///
    /// - Parameter executor: what the backend was made with, if anything: its work is done while a client waits.
    init(
        backend: any IOMMUBackend, configuration: Configuration = Configuration(),
        executor: StepExecutor = StepExecutor()
    ) throws {
        self.executor = executor
        loop = try EventLoop()
        service = Service(
            backend: backend, configuration: configuration, facts: DaemonFacts(), loop: loop,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        dispatcher = Dispatcher(MethodCatalog.make(), context: service, limits: configuration.limits.transport)
        service.dispatcher = dispatcher
    }

    /// A service over the emulated machine that the configuration describes: by default the laboratory.
    convenience init(configuration: Configuration = Configuration()) throws {
        let executor = StepExecutor()
        let backend = try EmulatedBackend(topology: configuration.topology, executor: executor)
        backend.equipment = { SMMUModels.equip($0) }
        try self.init(backend: backend, configuration: configuration, executor: executor)
    }

    /// A connection of this user or another one, without anybody who waits for its replies.
    func connect(uid: UInt32 = geteuid()) throws -> Connection {
        connections += 1
        let connection = Connection(
            id: ConnectionID(index: connections, generation: 1),
            credentials: PeerCredentials(pid: getpid(), uid: uid, gid: uid), limits: dispatcher.limits)
        try service.connected(connection)
        return connection
    }

    /// A client of this user or another one.
    func client(uid: UInt32 = geteuid()) throws -> PlayedClient {
        PlayedClient(try connect(uid: uid), of: self)
    }

    /// Ends a connection, as the transport does.
    func end(_ connection: Connection) {
        connection.end()
        service.disconnected(connection)
    }

    /// Sends a request on a connection; what is answered at once is the reply.
    @discardableResult
    func send(
        _ method: String, _ params: JSONValue = .object([]), on connection: Connection
    ) throws -> JSONValue? {
        _ = dispatcher.consume(PlayedClient.request(method, params, id: 1), from: connection)
        return try replies(on: connection).first
    }

    /// What has been written to a connection and not been looked at. A refusal that is not declared is an issue.
    func replies(on connection: Connection) throws -> [JSONValue] {
        let lines = connection.takeOutput().split(separator: UInt8(ascii: "\n"))
        let replies = try lines.map { try JSONValue(parsing: Array($0)) }
        for reply in replies {
            if let undeclared = RefusalLedger.shared.enter(reply) { Issue.record("not declared: \(undeclared)") }
        }
        return replies
    }

    /// Does what is left to do for calls that wait: the backend's work, else a turn of the loop.
    func proceed() throws {
        if !executor.step() { try loop.turn(waiting: true) }
    }
}

import BareSMMU
import EmulatedIOMMU
import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import Logging
import TestSupport

@testable import IOMMUService

/// A service asked in process: no socket, no second process. In front of it are played clients, and whoever waits for
/// something lets the loop take turns.
final class ServiceBench {
    /// Timers and whatever else the service defers.
    let loop: EventLoop
    /// What the methods act on.
    let service: Service
    /// Carries out what the clients send.
    let dispatcher: Dispatcher
    /// The backend's work that may block, and what it leaves for later.
    let executor: StepExecutor
    private var connections: UInt32 = 0
    /// By the number of the connection.
    private var clients: [UInt32: Weak] = [:]

    private struct Weak {
        weak var client: PlayedClient?
    }

    /// A service over this backend.
    ///
    /// - Parameters:
    ///   - executor: what the backend was made with, if anything: its work is done while somebody waits.
    ///   - loop: what the backend was made with, if anything; its turns are taken while somebody waits.
    init(
        backend: any IOMMUBackend, configuration: Configuration = Configuration(),
        executor: StepExecutor = StepExecutor(), loop: EventLoop? = nil
    ) throws {
        self.executor = executor
        let loop = try loop ?? EventLoop()
        self.loop = loop
        service = Service(
            backend: backend, configuration: configuration, facts: DaemonFacts(), loop: loop,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        dispatcher = Dispatcher(MethodCatalog.make(), context: service, limits: configuration.limits.transport)
        service.dispatcher = dispatcher
    }

    /// A service over an emulated machine, by default the laboratory.
    convenience init(
        topology: TopologyDescription? = nil, _ change: (inout Configuration) -> Void = { _ in }
    ) throws {
        var configuration = Configuration()
        change(&configuration)
        if let topology { configuration.topology = topology }
        let executor = StepExecutor()
        let backend = try EmulatedBackend(
            topology: configuration.topology, executor: executor,
            tableSpace: min(UInt64(configuration.backend.tableSpace), TableSpace.modest))
        backend.equipment = { SMMUModels.equip($0) }
        try self.init(backend: backend, configuration: configuration, executor: executor)
    }

    /// A service as a configuration file of this text makes it.
    convenience init(file text: String) throws {
        let read = try ConfigurationFile.parse(text, file: "iommud.toml")
        try self.init { $0 = read }
    }

    /// A client of this user or another one. - Throws: the refusal, if the service does not let it in.
    func connect(uid: UInt32 = geteuid(), pid: Int32 = getpid()) throws -> PlayedClient {
        connections += 1
        let connection = Connection(
            id: ConnectionID(index: connections, generation: 1),
            credentials: PeerCredentials(pid: pid, uid: uid, gid: uid), limits: dispatcher.limits)
        try service.connected(connection)
        let client = PlayedClient(connection, of: self)
        clients[connections] = Weak(client: client)
        return client
    }

    /// Ends a connection, as the transport does.
    func end(_ connection: Connection) {
        guard clients.removeValue(forKey: connection.id.index) != nil else { return }
        connection.end()
        service.disconnected(connection)
    }

    // MARK: What happens meanwhile

    /// Does what the backend has left to do, and lets the clients that had to wait go on.
    func settle() {
        executor.drain()
        for entry in clients.values { entry.client?.goOn() }
    }

    /// Waits for whatever comes next: a timer, or work of other threads that is done.
    func proceed() throws {
        try loop.turn(waiting: true)
        settle()
    }

    /// Waits until something is so.
    func proceed(until isDone: () throws -> Bool) throws {
        while try !isDone() { try proceed() }
    }

    /// Handles all that is ready.
    func handleReady() throws {
        for _ in 0..<20 { try loop.turn(waiting: false) }
        settle()
    }
}

import BareSMMU
import EmulatedIOMMU
import Glibc
import IOMMU
import IOMMUService
import JSONRPC
import LinuxIO
import Logging
import ServiceTestSupport
import Testing

/// A service over the emulated laboratory, in process. A connection of it is told a script: requests, one a line, and
/// after `>` such as have to be refused, with the errno and the reason behind them.
final class ScriptBench {
    let backend: EmulatedBackend
    private let loop: EventLoop
    private let service: Service
    let dispatcher: Dispatcher
    private let executor = Deferred()
    private var connections: UInt32 = 0

    init(
        topology: TopologyDescription = .laboratory, _ change: (inout Configuration) -> Void = { _ in }
    ) throws {
        var configuration = Configuration()
        change(&configuration)
        loop = try EventLoop()
        backend = try EmulatedBackend(
            topology: topology, executor: executor,
            tableSpace: min(UInt64(configuration.backend.tableSpace), TableSpace.modest))
        backend.equipment = { SMMUModels.equip($0) }
        service = Service(
            backend: backend, configuration: configuration, facts: DaemonFacts(), loop: loop,
            log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        dispatcher = Dispatcher(MethodCatalog.make(), context: service)
        service.dispatcher = dispatcher
    }

    /// What may block does so when the bench says.
    private final class Deferred: WorkExecutor {
        private var waiting: [() -> Void] = []

        func perform<Value: Sendable>(
            key: UInt64, _ work: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
        ) {
            waiting.append { completion(work()) }
        }

        func later(_ body: @escaping () -> Void) { waiting.append(body) }

        func watch(
            _ descriptor: borrowing Descriptor, _ ready: @escaping () -> Void
        ) throws(SystemError) -> DescriptorWatch {
            throw SystemError(errno: EPERM, "watch")
        }

        func run() {
            while !waiting.isEmpty { waiting.removeFirst()() }
        }
    }

    func connect(uid: UInt32 = geteuid()) throws -> Connection {
        connections += 1
        let connection = Connection(
            id: ConnectionID(index: connections, generation: 1),
            credentials: PeerCredentials(pid: getpid(), uid: uid, gid: uid))
        try service.connected(connection)
        return connection
    }

    /// Ends a connection, as the transport does.
    private func end(_ connection: Connection) {
        connection.end()
        service.disconnected(connection)
    }

    /// Sends one line; what is answered at once is the reply.
    func send(line: String, on connection: Connection) throws -> JSONValue? {
        _ = dispatcher.consume(Array((line + "\n").utf8), from: connection)
        return try replies(on: connection)
    }

    /// The first reply of those that have come meanwhile; any error reply goes into the ledger.
    func replies(on connection: Connection) throws -> JSONValue? {
        executor.run()
        var first: JSONValue?
        for line in connection.takeOutput().split(separator: UInt8(ascii: "\n")) {
            let reply = try JSONValue(parsing: Array(line))
            for answer in reply.arrayValue ?? [reply] {
                if let undeclared = RefusalLedger.shared.enter(answer) { Issue.record("not declared: \(undeclared)") }
            }
            first = first ?? reply
        }
        return first
    }

    func request(_ method: String, _ params: String, on connection: Connection) throws -> JSONValue? {
        try send(line: #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#, on: connection)
    }

    /// Runs a script on a connection, one of its own if none is given.
    func run(
        _ script: String, on connection: Connection? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let isLent = connection != nil
        let connection = try connection ?? connect()
        defer { if !isLent { end(connection) } }
        for text in script.split(separator: "\n") where !text.hasPrefix("#") {
            let isRefused = text.hasPrefix(">")
            let words = text.drop { $0 == ">" || $0 == " " }
            let method = words.prefix { $0 != " " }
            let end = words.lastIndex(of: "}") ?? words.endIndex
            let params = words[method.endIndex...end].drop { $0 == " " }
            let expected = words[words.index(after: end)...].split(separator: " ")
            let reply = try request(String(method), String(params), on: connection)
            let error = reply?["error"]
            guard isRefused else {
                #expect(error == nil && reply != nil, "\(text): \(reply?.text ?? "")", sourceLocation: sourceLocation)
                continue
            }
            try #require(expected.count == 2, "\(text)")
            #expect(
                error?["data"]?["errno"]?.stringValue == String(expected[0])
                    && error?["data"]?["reason"]?.stringValue == String(expected[1]),
                "\(text): \(reply?.text ?? "waits")", sourceLocation: sourceLocation)
        }
    }
}

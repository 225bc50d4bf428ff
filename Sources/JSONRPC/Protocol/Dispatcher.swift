import Glibc
import LinuxIO

/// Carries out requests: parses lines, finds methods, checks parameters, runs handlers, writes replies.
///
/// One for each server, used on one thread.
public final class Dispatcher {
    /// What has been counted for one method.
    public struct Statistics: Sendable {
        /// Calls carried out or refused, notifications included.
        public var calls: UInt64 = 0
        /// Those of them answered with an error.
        public var errors: UInt64 = 0
    }

    /// What one client may make the server hold. A change is for lines and connections from now on.
    public var limits: Limits
    /// Everything declared, in order of declaration.
    public let declarations: [MethodDeclaration]
    /// Told of every error reply: the method (`nil` if it is not known) and what the handler threw.
    public var onRefusal:
        ((_ connection: Connection, _ method: String?, _ error: RPCError, _ cause: (any Error)?) -> Void)?

    /// Asked before each request, where there is one: what all are refused with, or nil for one that is carried out.
    public var refusesAll: ((_ connection: Connection, _ method: StaticString) -> RPCError?)?

    private let handlers: [(Call) throws -> Outcome]
    private let programs: [SchemaProgram]
    private let records: UnsafeMutablePointer<MethodRecord>
    let counters: UnsafeMutablePointer<Statistics>
    private let index: MethodIndex
    private let slots: UnsafeMutablePointer<ParameterSlot>
    let parser: UnsafeMutablePointer<JSONParser>
    private let call = Call()
    /// What the turn in hand may still take: the loop's, once a server is there.
    var meter: UnsafeMutablePointer<TurnMeter>
    /// The method of the request being carried out, -1 while none is known.
    private let methodInHand: UnsafeMutablePointer<Int>
    private let ownMeter: UnsafeMutablePointer<TurnMeter>
    /// How many steps a call of a method counts as: as many as lie between two looks at the clock while it is not known
    /// to be quick.
    private let weights: UnsafeMutablePointer<Int>
    private static let weightRange = 4...32
    /// Microseconds: a method is quick if it takes less, and slow if it takes more.
    private static let quick: UInt64 = 30
    private static let slow: UInt64 = 100
    lazy var resultPrograms = declarations.map { SchemaProgram(.object($0.results), numbersSlots: true) }

    /// What the request path needs of a method, by pointer.
    private struct MethodRecord {
        let tables: UnsafeMutablePointer<SchemaProgram.Tables>
        let root: UnsafeMutablePointer<SchemaProgram.TypeRecord>
        let isAdmin: Bool
    }

    /// Binds a table of methods to what they act on.
    public init<Context>(_ methods: MethodTable<Context>, context: Context, limits: Limits = Limits()) {
        self.limits = limits
        declarations = methods.declarations
        handlers = methods.entries.map { entry in
            let handler = entry.handler
            return { call in try handler(call, context) }
        }
        programs = declarations.map { SchemaProgram(.object($0.parameters)) }
        index = MethodIndex(declarations)
        records = .allocate(capacity: max(1, programs.count))
        ownMeter = .allocate(capacity: 1)
        ownMeter.initialize(to: TurnMeter())
        meter = ownMeter
        methodInHand = .allocate(capacity: 1)
        methodInHand.initialize(to: -1)
        weights = .allocate(capacity: max(1, programs.count))
        weights.initialize(repeating: Self.weightRange.upperBound, count: max(1, programs.count))
        counters = .allocate(capacity: max(1, programs.count))
        counters.initialize(repeating: Statistics(), count: max(1, programs.count))
        for (number, program) in programs.enumerated() {
            (records + number).initialize(
                to: MethodRecord(
                    tables: program.tables, root: program.tables.pointee.types + program.root,
                    isAdmin: declarations[number].role == .admin))
        }
        let slotCount = programs.map(\.slotCount).max() ?? 0
        slots = .allocate(capacity: slotCount + 1)
        slots.initialize(repeating: ParameterSlot(bits: 0, node: 0), count: slotCount + 1)
        parser = .allocate(capacity: 1)
        parser.initialize(to: JSONParser())
    }

    deinit {
        parser.pointee.deallocate()
        parser.deallocate()
        index.deallocate()
        slots.deallocate()
        records.deallocate()
        weights.deallocate()
        methodInHand.deallocate()
        ownMeter.deinitialize(count: 1)
        ownMeter.deallocate()
        counters.deallocate()
    }

    /// Counters of each method, in order of declaration.
    public var statistics: [Statistics] { (0..<declarations.count).map { counters[$0] } }
}

// MARK: - One request

extension Dispatcher {
    /// The members of a request that are looked at, as nodes; 0 if absent.
    private struct Request {
        var version = 0
        var id = 0
        var method = 0
        var params = 0
    }

    /// Carries out the request at a node, or writes one error for what is none.
    func execute(_ node: Int, _ text: UnsafeMutablePointer<UInt8>, _ connection: Connection) {
        methodInHand.pointee = -1
        attempt(node, text, connection)
        noteTurn(connection)
    }

    /// Lets others have their turn if the connection's is over.
    @inline(__always)
    private func noteTurn(_ connection: Connection) {
        let method = methodInHand.pointee
        let weight = method < 0 ? Self.weightRange.upperBound / 4 : weights[method]
        guard meter.pointee.countDown(weight) else { return }
        if meter.pointee.look() { connection.endTurn() }
        guard method >= 0 else { return }
        let span = meter.pointee.lastSpan
        if span > Self.slow { weights[method] = Self.weightRange.upperBound }
        if span < Self.quick { weights[method] = max(Self.weightRange.lowerBound, weight / 2) }
    }

    private func attempt(_ node: Int, _ text: UnsafeMutablePointer<UInt8>, _ connection: Connection) {
        let nodes = parser.pointee.nodes
        var request = Request()
        guard nodes[node].kind == .object, read(nodes, node, text, &request) else {
            return refuse(
                invalidRequest(
                    "the value is no request", hint: "send an object whose members are each given once"), nodes, 0,
                text, connection)
        }
        unescape(nodes, request.version, text)
        let version = nodes[request.version]
        guard request.version != 0, version.kind == .string, version.length == 3,
            JSONBytes.matches(text + Int(version.start), "2.0")
        else { return refuse(invalidMember("jsonrpc", "the string 2.0"), nodes, request.id, text, connection) }
        guard request.method != 0, nodes[request.method].kind == .string else {
            return refuse(invalidMember("method", "a string"), nodes, request.id, text, connection)
        }
        guard request.id == 0 || Self.isID(nodes[request.id].kind) else {
            return refuse(invalidMember("id", "a string, a number or null"), nodes, 0, text, connection)
        }
        run(request, nodes, text, connection)
    }

    @inline(__always)
    static func isID(_ kind: JSONNode.Kind) -> Bool {
        kind == .string || kind == .integer || kind == .real || kind == .null
    }

    /// Finds the members; `false` if one of them is there twice.
    @inline(__always)
    private func read(
        _ nodes: UnsafeMutablePointer<JSONNode>, _ node: Int, _ text: UnsafeMutablePointer<UInt8>,
        _ request: inout Request
    ) -> Bool {
        var cursor = node &+ 1
        let end = Int(nodes[node].next)
        while cursor < end {
            unescape(nodes, cursor, text)
            let key = text + Int(nodes[cursor].start)
            let value = cursor &+ 1
            switch nodes[cursor].length {
            case 2 where JSONBytes.matches(key, "id"): if !set(&request.id, value) { return false }
            case 6 where JSONBytes.matches(key, "method"): if !set(&request.method, value) { return false }
            case 6 where JSONBytes.matches(key, "params"): if !set(&request.params, value) { return false }
            case 7 where JSONBytes.matches(key, "jsonrpc"): if !set(&request.version, value) { return false }
            default: break
            }
            cursor = Int(nodes[value].next)
        }
        return true
    }

    @inline(__always)
    private func set(_ member: inout Int, _ node: Int) -> Bool {
        guard member == 0 else { return false }
        member = node
        return true
    }

    @inline(__always)
    private func unescape(
        _ nodes: UnsafeMutablePointer<JSONNode>, _ node: Int, _ text: UnsafeMutablePointer<UInt8>
    ) {
        guard nodes[node].escaped else { return }
        let length = JSONBytes.unescape(text + Int(nodes[node].start), Int(nodes[node].length))
        nodes[node].length = UInt32(truncatingIfNeeded: length)
        nodes[node].escaped = false
    }

    private func run(
        _ request: Request, _ nodes: UnsafeMutablePointer<JSONNode>, _ text: UnsafeMutablePointer<UInt8>,
        _ connection: Connection
    ) {
        unescape(nodes, request.method, text)
        let name = nodes[request.method]
        let method = index.find(text + Int(name.start), Int(name.length))
        let (id, idLength) = Self.idBytes(nodes, request.id, text)
        guard method >= 0 else {
            guard idLength > 0 else { return }
            return refuseUnknown(name.string(text), connection, UnsafeBufferPointer(start: id, count: idLength))
        }
        counters[method].calls &+= 1
        methodInHand.pointee = method
        meter.pointee.label = .method(method)
        let tables = records[method].tables
        let source = ParameterSource(slots: slots, nodes: nodes, text: text, program: tables)
        guard accept(request.params, records + method, source) else {
            let error = tables.pointee.failure.pointee.error(method: declarations[method].title)
            return refuse(
                error, cause: nil, connection, id: Array(UnsafeBufferPointer(start: id, count: idLength)),
                method: method)
        }
        invoke(
            CallState(
                dispatcher: .passUnretained(self), connection: .passUnretained(connection), source: source, id: id,
                idLength: idLength, method: method, hasReplied: false), connection)
    }

    /// The id as the client wrote it, quotes included; no bytes for a notification.
    @inline(__always)
    static func idBytes(
        _ nodes: UnsafeMutablePointer<JSONNode>, _ id: Int, _ text: UnsafeMutablePointer<UInt8>
    ) -> (UnsafeMutablePointer<UInt8>, Int) {
        guard id != 0 else { return (text, 0) }
        let node = nodes[id]
        let quote = node.kind == .string ? 1 : 0
        return (text + (Int(node.start) &- quote), Int(node.length) &+ 2 &* quote)
    }

    @inline(__always)
    private func accept(_ params: Int, _ record: UnsafeMutablePointer<MethodRecord>, _ source: ParameterSource) -> Bool
    {
        if params == 0 || source.nodes[params].kind == .null {
            source.clear(record.pointee.root)
            return source.requireAll(record.pointee.root)
        }
        guard source.nodes[params].kind == .object else {
            return source.refuse(.wrongType, "parameters are given by name, in an object")
        }
        return source.acceptObject(params, record.pointee.root)
    }

    private func invoke(_ state: CallState, _ connection: Connection) {
        call.state.initialize(to: state)
        let method = state.method
        let mark = connection.outbox.pointee.mark
        do {
            if records[method].isAdmin, !connection.isAdmin { throw notAdmin(declarations[method].title) }
            if let refusesAll, let refusal = refusesAll(connection, declarations[method].name) { throw refusal }
            _ = try handlers[method](call)
            if !call.state.pointee.hasReplied { _ = call.reply() }
        } catch {
            // A reply that was already written is withdrawn: a request has one answer.
            connection.outbox.pointee.rollBack(to: mark)
            connection.dropAttached()
            let id = Array(UnsafeBufferPointer(start: state.id, count: state.idLength))
            refuse(RPCError(wrapping: error), cause: error, connection, id: id, method: method)
            if connection.outbox.pointee.isParked { connection.parked?.withdraw() }
        }
    }
}

import IOMMU
import JSONRPC
import LinuxIO
import Logging

/// What the methods act on: the backend, and who uses what of it.
///
/// Everything in it belongs to the thread that runs the loop.
package final class Service {
    /// What does the work.
    package let backend: any IOMMUBackend
    /// Who holds what.
    package let sessions: SessionTable
    /// Who is told what.
    package let events: EventHub
    /// Every figure of `daemon.stats`.
    package let metrics = MetricsRegistry()
    /// The entries about devices and refusals.
    package private(set) var audit: Audit
    /// Which entries say the same too often.
    package private(set) lazy var repetitions = RepetitionLimit { [unowned self] nanoseconds, body in
        loop.schedule(after: nanoseconds, body)
    } report: { [unowned self] subject, count in
        audit.leftOut(subject, count)
    }
    /// What does not change while the daemon runs.
    package let facts: DaemonFacts
    let waits: WaitList
    /// What waits to be taken on sockets of its own.
    private(set) lazy var offers = OfferDesk(loop: loop) { [unowned self] session, process in
        // Where it cannot be watched, the session ends as others do.
        try? delegate(session, to: process)
    }
    let loop: EventLoop
    /// Who may do everything; looked up anew at a reload.
    package private(set) var administrators: Administrators
    /// What holds now.
    package private(set) var configuration: Configuration

    /// What outlives the daemon; nil in a service that keeps nothing.
    package var keeper: StateKeeper? { didSet { sessions.keeper = keeper } }

    /// By the index of the connection's id.
    private var clients: [Client?] = []
    /// For figures by method. Not `weak`: every retain of an object with weak references takes a slow path, and each
    /// request retains the dispatcher.
    package unowned var dispatcher: Dispatcher?
    private var quota = ConnectionQuota()
    private var transport = TransportAccounts()
    private var probe: Client?
    var isWatchingAddressSpaces = false
    /// Writes to bare SMMUs that are not through, and those behind them.
    var writers: [BareSMMUSubject: BareSMMULine] = [:]
    /// Where nobody keeps anything.
    let ownGeneration = UInt64.random(in: 1...UInt64(Int64.max))
    private var connectionsAccepted: UInt64 = 0
    private var faults = FaultCounters()
    private let sharedPolicy: Box<AccessPolicy>

    package init(
        backend: any IOMMUBackend, configuration: Configuration, facts: DaemonFacts, loop: EventLoop, log: Logger
    ) {
        self.backend = backend
        self.configuration = configuration
        self.facts = facts
        self.loop = loop
        audit = Audit(log: log)
        waits = WaitList(loop: loop)
        administrators = .current()
        let shared = Box(configuration.access.narrowed(to: backend))
        sharedPolicy = shared
        let limits = configuration.limits.sessionLimits(configuration.shares)
        sessions = SessionTable(
            limits: limits, descriptors: DescriptorPool.make(), memory: MemoryPool.make(configuration.limits)
        ) { id, owner, account, limits in
            backend.makeContext(id: id, owner: owner, account: account, limits: limits)
        }
        events = EventHub(inPieces: { loop.inPieces(for: $0, $1) }) { peer, device in
            shared.value.allows(peer, device: device)
        }
        backend.eventHandler = { [unowned self] event in handle(event) }
        // Whoever waits for an entry of a queue in it waits in vain.
        sessions.onEnd = { [unowned self] session in waits.stir(session.id) }
        sessions.onDiscard = { [unowned self] session in offers.withdraw(session) }
        sessions.onClose = { [unowned self] session, clients in announceClosed(session, clients) }
        metrics.add { [unowned self] in ownMetrics() }
        metrics.add { [unowned self] in
            UserMetrics.read(sessions.accountsInUse, limits: sessions.limits.perUser) + faults.read()
        }
        metrics.add { [unowned self] in PoolMetrics.read(sessions.poolShares) }
    }

    // MARK: Connections

    /// Gives the connection its private session; `EDQUOT` if its user has too many connections.
    package func connected(_ connection: Connection) throws(IOMMUError) {
        let credentials = connection.credentials
        let peer = administrators.peer(
            uid: credentials?.uid ?? .max, gid: credentials?.gid ?? .max, pid: credentials?.pid ?? 0,
            groups: credentials?.groups ?? [])
        let fraction = configuration.shares.fraction(of: peer.identity.uid)
        try quota.admit(peer.identity, configuration.limits, fraction: fraction)
        connection.isAdmin = peer.identity.isAdmin
        connectionsAccepted += 1
        let index = Int(connection.id.index)
        while clients.count <= index { clients.append(nil) }
        let client = try admit(peer)
        client.gate = connection
        connection.bytes = transport.open(client.session.account, configuration.limits)
        clients[index] = client
    }

    /// A client with its private session, and the connection's descriptor on its user's account.
    private func admit(_ peer: Peer) throws(IOMMUError) -> Client {
        let client = sessions.connect(peer)
        do {
            try client.session.account.charge(1, of: .descriptors)
        } catch {
            sessions.disconnect(client)
            quota.release(peer.identity)
            throw error
        }
        return client
    }

    /// Gives back what the connection counted for; its private session ends with it.
    package func disconnected(_ connection: Connection) {
        let index = Int(connection.id.index)
        guard clients.indices.contains(index), let client = clients[index] else { return }
        clients[index] = nil
        quota.release(client.peer.identity)
        transport.close(client.peer.identity.uid)
        client.session.account.release(1, of: .descriptors)
        client.closeRings()
        events.unsubscribe(client)
        sessions.disconnect(client)
    }

    /// The client that calls.
    @inline(__always)
    func client(_ call: Call) throws(IOMMUError) -> Client {
        let index = Int(call.connection.id.index)
        guard index < clients.count, let client = clients[index] else { return try prober(call) }
        return client
    }

    @inline(never)
    private func prober(_ call: Call) throws(IOMMUError) -> Client {
        guard call.connection.id == Self.probeID, let probe else { throw Self.disconnectedError }
        return probe
    }

    /// The context of the session of the client that calls.
    @inline(__always)
    func context(_ call: Call) throws(IOMMUError) -> any IOMMUContext { try client(call).session.context }

    /// Told of every error reply: what somebody was not allowed to do goes into the journal.
    package func refused(_ connection: Connection, _ method: String?, _ error: RPCError) {
        let index = Int(connection.id.index)
        guard error.code == -Int(Errno.EPERM.rawValue), let method, clients.indices.contains(index),
            let client = clients[index]
        else { return }
        let subject = RepetitionLimit.Subject(
            user: client.peer.identity.uid, method: method, reason: error.reason)
        if repetitions.admits(subject) { audit.refused(error, method: method, to: client) }
    }

    /// Goes on with another log, or one of another level.
    package func setLog(_ log: Logger) { audit = Audit(log: log) }

    // MARK: Probing

    /// The connection id of the daemon's own questions to itself; no transport gives it to anybody.
    static let probeID = ConnectionID(index: .max, generation: .max)

    func beginProbe() {
        let nobody = ClientIdentity(uid: .max, gid: .max, pid: facts.pid, isAdmin: false)
        probe = sessions.connect(Peer(identity: nobody))
    }

    func endProbe() {
        if let probe { sessions.disconnect(probe) }
        probe = nil
    }

    private static var disconnectedError: IOMMUError {
        IOMMUError(.ECANCELED, .disconnected, "the connection has ended", hint: "connect again")
    }

    // MARK: Configuration

    /// Who may bind what.
    var policy: AccessPolicy { sharedPolicy.value }

    /// Takes over what can be changed while running.
    package func reload(_ new: Configuration) -> ConfigurationChanges {
        let changes = configuration.reload(new)
        transport.apply(configuration.limits)
        sessions.limits = configuration.limits.sessionLimits(configuration.shares)
        administrators = .current()
        sharedPolicy.value = configuration.access.narrowed(to: backend)
        keeper?.apply(configuration.limits)
        return changes
    }

    // MARK: Events

    private func handle(_ event: BackendEvent) {
        faults.count(event)
        events.publish(event, origin: event.context.flatMap { sessions.session($0)?.origin })
        if case .smmuEvent(let fault) = event.body { log(fault, of: event.context) }
        guard let context = event.context else { return }
        waits.stir(context)
        if case .device(let change) = event.body, change.action == .unbound, let session = sessions.ending(context) {
            audit.unbound(device: change.name, withEndOf: session)
        }
    }

    private func log(_ fault: SMMUEvent, of context: ContextID?) {
        let session = context.flatMap { sessions.session($0) }
        let subject = RepetitionLimit.Subject(
            user: session?.owner.uid ?? .max, method: "events of device \(fault.name ?? "none")",
            reason: fault.event.type)
        if repetitions.admits(subject) { audit.faulted(fault, in: session) }
    }

    private func announceClosed(_ session: Session, _ clients: [Client]) {
        let audience = Event.Audience.clients(clients.map { ObjectIdentifier($0) })
        events.publish(
            Event(.sessionClosed, time: Timestamp.now(), origin: session.origin, audience: audience))
    }

    // MARK: Figures

    /// "12 connections, 3 named sessions, 4 devices in use"
    package var status: String {
        let connections = clients.count { $0 != nil }
        let devices = backend.topology.devices.count { $0.boundBy != nil }
        return "\(connections) connections, \(sessions.namedCount) named sessions, \(devices) devices in use"
    }

    private func ownMetrics() -> [Metric] {
        let all = sessions.all
        let mapped = all.reduce(UInt64(0)) { $0 &+ $1.context.mappedBytes }
        return [
            Metric(.counter, "connections_accepted_total", "Connections accepted", connectionsAccepted),
            Metric(.counter, "events_total", "Events that happened while somebody had subscribed", events.published),
            Metric(.counter, "events_lost_total", "Events that a subscriber was too slow for", events.lost),
            Metric(.gauge, "connections", "Connections now", UInt64(clients.count { $0 != nil })),
            Metric(.gauge, "sessions", "Sessions now, private ones included", UInt64(all.count)),
            Metric(.gauge, "named_sessions", "Named sessions now", UInt64(sessions.namedCount)),
            Metric(.gauge, "subscribers", "Connections that have subscribed to events", UInt64(events.subscribers)),
            Metric(.gauge, "waiting_calls", "Calls that wait for a queue to fill", UInt64(waits.count)),
            Metric(.gauge, "mapped_bytes", "Bytes mapped in all address spaces", mapped),
            Metric(
                .gauge, "unsent_bytes", "Bytes of replies and events that clients have to read", transport.unsentBytes),
            Metric(
                .gauge, "unfinished_bytes", "Bytes of requests that have not ended or wait", transport.unfinishedBytes),
            Metric(.gauge, "uptime_seconds", "Seconds since the daemon started", facts.uptimeSeconds),
            Metric(
                .gauge, "build_info", "What runs; always 1", 1,
                labels: [
                    .init(name: "version", value: DaemonVersion.text), .init(name: "backend", value: "\(backend.kind)"),
                ]),
        ] + turnMetrics() + methodMetrics()
    }

    private func methodMetrics() -> [Metric] {
        guard let dispatcher else { return [] }
        let used = zip(dispatcher.declarations, dispatcher.statistics).filter { $0.1.calls > 0 }
        let calls = used.map { declaration, statistics in
            Metric(
                .counter, "requests_total", "Requests carried out or refused", statistics.calls,
                label: .init(name: "method", value: declaration.title))
        }
        let errors = used.map { declaration, statistics in
            Metric(
                .counter, "request_errors_total", "Requests answered with an error", statistics.errors,
                label: .init(name: "method", value: declaration.title))
        }
        return calls + errors
    }
}

/// A value that closures share with their maker.
private final class Box<Value> {
    var value: Value

    init(_ value: Value) { self.value = value }
}

import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import Logging
import Systemd

/// The whole daemon: backend, service, transport and the service manager, wired to one loop on one thread.
package final class Daemon {
    private let options: DaemonOptions
    private let log: DaemonLog
    private let manager: any ServiceNotifying
    private let loop: EventLoop
    let service: Service
    let server: Server
    private let reporter: StatusReporter
    private let watchdog: WatchdogProbe
    private var metrics: MetricsEndpoint?
    let keeper: StateKeeper
    private var isStopping = false

    /// Builds everything but the sockets. Signals are the loop's from here on, so no thread may have been started.
    ///
    /// - Throws: `SystemError`, or ``ConfigurationError`` where the backend cannot be made.
    package init(
        _ configuration: Configuration, options: DaemonOptions, facts: DaemonFacts, log: DaemonLog,
        manager: any ServiceNotifying, store: StoredState, makeBackend: BackendFactory
    ) throws {
        self.options = options
        self.log = log
        self.manager = manager
        loop = try EventLoop()
        let pool = try WorkerPool(
            loop: loop, threads: configuration.limits.workers, capacity: configuration.limits.connections)
        let backend = try Self.backend(configuration, LoopExecutor(loop: loop, pool: pool), options, makeBackend)
        service = Service(
            backend: backend, configuration: configuration, facts: facts, loop: loop, log: log.logger)
        let dispatcher = Dispatcher(
            MethodCatalog.make(), context: service, limits: configuration.limits.transport)
        service.dispatcher = dispatcher
        server = Server(loop: loop, dispatcher: dispatcher)
        reporter = StatusReporter(service: service, loop: loop, manager: manager, log: log)
        watchdog = WatchdogProbe(service: service, dispatcher: dispatcher)
        let files = StoredFiles(
            manager: manager, loop: loop, capacity: store.capacity,
            perUser: configuration.limits.storedDescriptors(of: store.capacity), passed: store.passed)
        keeper = StateKeeper(service, medium: store.directory, files: files, loop: loop, log: log.logger)
        service.keeper = keeper
        connectServer(dispatcher)
    }

    /// Makes the backend; what it cannot be made of is a mistake in the configuration.
    package static func backend(
        _ configuration: Configuration, _ executor: any WorkExecutor, _ options: DaemonOptions,
        _ makeBackend: BackendFactory
    ) throws(ConfigurationError) -> any IOMMUBackend {
        do {
            return try makeBackend(configuration, executor)
        } catch {
            let key = configuration.backend.type == .kernel ? "backend.type" : "smmu / device"
            throw ConfigurationError(
                file: options.file, .key(key), error.message, remedy: error.hint, errno: error.errno.rawValue)
        }
    }

    private func connectServer(_ dispatcher: Dispatcher) {
        server.beforeSending = { [keeper] in keeper.flush() }
        // What nobody waits to be told of is written down in its turn as well.
        loop.atEndOfTurn { [keeper] in
            _ = keeper.flush()
            return false
        }
        server.onConnect = { [unowned self] connection in accept(connection) }
        server.onDisconnect = { [unowned self] connection in
            service.disconnected(connection)
            reporter.changed()
        }
        server.onStall = { [unowned self] connection in
            logDrop(connection, "a client does not read its replies, and is dropped", reason: "stalled")
        }
        dispatcher.onRefusal = { [unowned self] connection, method, error, cause in
            service.refused(connection, method, error)
            if error.code == RPCError.internalError { logInternalError(method, cause) }
        }
    }

    private func accept(_ connection: Connection) {
        do {
            try service.connected(connection)
            reporter.changed()
        } catch {
            logDrop(connection, error.message, reason: error.reason.slug)
            server.turnAway(connection.id, error.rpcError)
        }
    }

    private func logDrop(_ connection: Connection, _ text: String, reason: String) {
        let subject = RepetitionLimit.Subject(
            user: connection.credentials?.uid ?? .max, method: "connecting", reason: reason)
        guard service.repetitions.admits(subject) else { return }
        var fields: Logger.Metadata = ["reason": "\(reason)"]
        if let credentials = connection.credentials {
            fields["uid"] = "\(credentials.uid)"
            fields["pid"] = "\(credentials.pid)"
        }
        log.logger.log(.clientDropped, level: .warning, "\(text)", fields)
    }

    private func logInternalError(_ method: String?, _ cause: (any Error)?) {
        let name = method ?? "a request"
        guard service.repetitions.admits(.init(user: .max, method: name, reason: "internal_error")) else { return }
        log.logger.error("\(name) failed unexpectedly: \(cause.map { "\($0)" } ?? "no reason given")")
    }

    // MARK: Running

    /// Serves the listeners until a signal says stop.
    ///
    /// - Parameter passed: for the metrics; without any they are served where the configuration says.
    package func run(_ listeners: [UnixListener], metrics passed: [UnixListener] = []) throws {
        try loop.onSignals([SIGTERM, SIGINT, SIGHUP]) { [unowned self] signal in handle(signal) }
        for listener in listeners { try server.listen(on: listener) }
        try serveMetrics(passed)
        service.serveOffers(besides: listeners.first?.path)
        restoreState()
        startWatchdog()
        StartupMemory.release()
        manager.announce(.ready, .status(status), log: log.logger)
        let places = listeners.map { $0.path ?? "a passed socket" }.joined(separator: ", ")
        log.logger.log(
            .ready, level: .notice, "ready on \(places); \(keeper.promise)",
            [
                "backend": "\(service.backend.kind)", "state": "\(keeper.directory?.path ?? "none")",
                "durable": "\(keeper.durable.rawValue)",
            ])
        try loop.run()
        service.sessions.closeAll()
        _ = keeper.flush()
    }

    /// All is back before anybody is served.
    private func restoreState() {
        keeper.start { [manager, log] in
            manager.announce(.extendTimeout(microseconds: 30_000_000), log: log.logger)
        }
    }

    /// What the service manager shows.
    private var status: String { keeper.status ?? reporter.status }

    private func serveMetrics(_ passed: [UnixListener]) throws {
        let configured = { [self] in try MetricsSocket.configured(service.configuration, file: options.file) }
        let listeners = passed.isEmpty ? try configured() : passed
        guard !listeners.isEmpty else { return }
        metrics = try MetricsEndpoint(listeners, loop: loop) { [unowned self] format in
            MetricsPage.render(service.metrics.read(), as: format)
        }
    }

    private func startWatchdog() {
        do {
            guard let interval = try Watchdog.interval(unsetEnvironment: true) else { return }
            feedWatchdog(every: max(1, interval / 2))
        } catch {
            log.logger.warning("nobody watches the daemon: \(error)", metadata: ["ERRNO": "\(error.errno)"])
        }
    }

    private func feedWatchdog(every microseconds: UInt64) {
        if watchdog.isAnswered() {
            manager.announce(.watchdog, log: log.logger)
        } else {
            log.logger.error("the daemon does not answer its own question; the watchdog is not fed")
        }
        loop.schedule(after: microseconds &* 1000) { [weak self] in self?.feedWatchdog(every: microseconds) }
    }

    private func handle(_ signal: Int32) {
        switch signal {
        case SIGHUP: reload()
        default: stop(signal)
        }
    }

    // MARK: Stopping

    /// What freeing everything can take once nothing is in flight any more.
    private static let microsecondsToEnd: UInt64 = 10_000_000

    /// Lets what is in flight finish, then leaves the loop; a second signal does not wait.
    private func stop(_ signal: Int32) {
        guard !isStopping else { return server.cutDrainShort() }
        isStopping = true
        let seconds = service.configuration.daemon.drainSeconds
        // The unit's TimeoutStopSec knows nothing of the configuration.
        manager.announce(
            .stopping, .extendTimeout(microseconds: UInt64(seconds) &* 1_000_000 &+ Self.microsecondsToEnd),
            .status("stopping: \(service.status)"), log: log.logger)
        log.logger.log(.stopping, level: .notice, "stopping: requests in flight get \(seconds) s")
        metrics?.shutDown()
        let deadline = UInt64(seconds) &* 1_000_000_000
        server.drain(within: deadline, refusal: Self.stoppingRefusal) { [unowned self] in loop.stop() }
    }

    /// What a call is answered with that still waits when the time is up.
    static var stoppingRefusal: RPCError {
        RPCError(
            errno: ECANCELED, reason: Reason.daemonStopping.slug,
            message: "the daemon is stopping, and does not wait any longer for what the call waits for",
            hint: "connect and call again once the daemon has been started again")
    }

    // MARK: Reloading

    private func reload() {
        guard !isStopping else { return }
        manager.announce(.reloadingNow(), .status("reloading"), log: log.logger)
        keeper.retry()
        do {
            let loaded = try options.load()
            let changes = service.reload(loaded)
            keeper.keep(configuration: options.text)
            server.dispatcher.limits = service.configuration.limits.transport
            log.setLevel(options.logLevel ?? service.configuration.daemon.logLevel)
            service.setLog(log.logger)
            report(changes)
            reporter.refusal = nil
        } catch {
            reporter.refusal = "configuration refused: \(error.summary)"
            log.report(error, level: .error, before: "the old configuration stays in force: ")
        }
        manager.announce(.ready, .status(status), log: log.logger)
    }

    private func report(_ changes: ConfigurationChanges) {
        let live = changes.live.isEmpty ? "nothing changed" : "now in force: \(changes.live.joined(separator: ", "))"
        let later = changes.needRestart.joined(separator: ", ")
        let rest = later.isEmpty ? "" : "; changes only with a restart: \(later)"
        var fields: Logger.Metadata = [:]
        if !changes.live.isEmpty { fields["live"] = .array(changes.live.map { .string($0) }) }
        if !later.isEmpty { fields["need_restart"] = .array(changes.needRestart.map { .string($0) }) }
        log.logger.log(.configurationReloaded, level: .notice, "configuration read again: \(live)\(rest)", fields)
    }
}

extension LimitsConfiguration {
    /// What one client may make the transport hold.
    var transport: Limits {
        var limits = Limits()
        limits.messageBytes = messageBytes
        limits.batch = batch
        limits.stalledClientSeconds = stalledClientSeconds
        limits.connections = connections
        return limits
    }
}

import Durability
import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import Logging
import Systemd

/// Makes the backend that a configuration asks for; blocking work of it goes to the executor. It throws what is wrong
/// with the configuration.
package typealias BackendFactory =
    (_ configuration: Configuration, _ executor: any WorkExecutor) throws(IOMMUError) -> any IOMMUBackend

/// The life of the daemon's process, from the command line to the exit status.
package enum DaemonProgram {
    /// Serves until told to stop. - Returns: the exit status: 0, 78 for the configuration, else 1.
    package static func run(_ options: DaemonOptions, makeBackend: BackendFactory) -> Int32 {
        let manager = NotifySocket()
        var log = DaemonLog(level: options.logLevel ?? .info)
        var waiting = WaitingClients([])
        do {
            prepareProcess()
            var passed = try PassedDescriptor.take()
            waiting = WaitingClients(passed)
            var options = options
            let configuration = try configuration(&options, hasStored: passed.contains { isStored($0) }, log)
            log = DaemonLog(level: options.logLevel ?? configuration.daemon.logLevel)
            let sockets = try listeners(passed.filter { !isStored($0) }, options, configuration, log)
            let facts = DaemonFacts(systemd: systemdFacts(manager, isActivated: sockets.areInherited))
            var store = store(passed, options, configuration, socket: sockets.listeners.first?.path, log)
            passed.removeAll { isStored($0) }
            let daemon = try Daemon(
                configuration, options: options, facts: facts, log: log, manager: manager, store: store,
                makeBackend: makeBackend)
            // What is let go of later is to be closed then: nobody else has it.
            store.passed = [:]
            daemon.keeper.keep(configuration: options.text)
            try daemon.run(sockets.listeners, metrics: sockets.metrics)
            return 0
        } catch {
            let status = report(error, log, manager)
            if let error = error as? ConfigurationError { waiting.refuse(error) }
            return status
        }
    }

    /// Reads the configuration and makes its backend, without serving anything.
    package static func check(_ options: DaemonOptions, makeBackend: BackendFactory) -> Int32 {
        do {
            let configuration = try options.load()
            let loop = try EventLoop()
            let executor = LoopExecutor(loop: loop, pool: try WorkerPool(loop: loop))
            _ = try Daemon.backend(configuration, executor, options, makeBackend)
            print("\(options.configuration ?? "the configuration"): usable")
            return 0
        } catch let error as ConfigurationError {
            // The daemon's service asks before a reload, and goes on as it was.
            let log = DaemonLog(level: .info)
            log.report(error, level: .error)
            NotifySocket().announce(.status("configuration refused: \(error.summary)"), log: log.logger)
            return ConfigurationError.exitStatus
        } catch {
            return report(error, DaemonLog(level: .info), NotifySocket())
        }
    }

    /// Gives up what was stored, without a daemon. - Returns: the exit status.
    package static func discardState(_ options: DaemonOptions) -> Int32 {
        let log = DaemonLog(level: .info)
        do {
            let configuration = try options.load()
            let path = stateDirectory(options, configuration, socket: nil)
            guard access(path, F_OK) == 0 else {
                print("\(path): there is no state")
                return 0
            }
            try StateDirectory(path).putAside()
            print("\(path): the journal has been put aside; descriptors go with the next start")
            return 0
        } catch {
            return report(error, log, NotifySocket())
        }
    }

    // MARK: State

    private static func isStored(_ descriptor: PassedDescriptor) -> Bool {
        StoredFiles.isName(descriptor.name) && descriptor.kind != .unixListener
    }

    private static func stateDirectory(
        _ options: DaemonOptions, _ configuration: Configuration, socket: String?
    ) -> String {
        StateLocation.choose(
            option: options.state, configured: configuration.daemon.state,
            socket: socket ?? options.socket ?? configuration.daemon.socket ?? SocketLocation.standard())
    }

    /// With descriptors that were stored, a file that cannot be used does not end the daemon: the service manager would
    /// close them all. The last configuration that could be used goes on then.
    private static func configuration(
        _ options: inout DaemonOptions, hasStored: Bool, _ log: DaemonLog
    ) throws(ConfigurationError) -> Configuration {
        do throws(ConfigurationError) {
            return try options.load()
        } catch {
            guard hasStored else { throw error }
            let place = stateDirectory(options, Configuration(), socket: nil)
            guard let text = ConfigurationFile.text("\(place)/\(StateKeeper.configurationName)") else { throw error }
            log.logger.log(
                .configurationRejected, level: .critical, "the last good configuration stays in force: \(error)",
                ["ERRNO": "\(error.errno)"])
            options.replacement = text
            return try options.load()
        }
    }

    private static func store(
        _ passed: [PassedDescriptor], _ options: DaemonOptions, _ configuration: Configuration, socket: String?,
        _ log: DaemonLog
    ) -> StoredState {
        var state = StoredState()
        state.capacity = StoredState.capacity()
        for descriptor in passed where isStored(descriptor) { state.passed[descriptor.name] = descriptor.descriptor }
        let path = stateDirectory(options, configuration, socket: socket ?? SocketLocation.ofService)
        do throws(SystemError) {
            state.directory = try StateDirectory(path)
        } catch {
            log.logger.warning(
                "named sessions do not outlive the daemon: \(error)", metadata: ["ERRNO": "\(error.errno)"])
        }
        return state
    }

    // MARK: Steps

    private static func prepareProcess() {
        signal(SIGPIPE, SIG_IGN)
        // Every client, memory object and address space is a descriptor.
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
    }

    private static func systemdFacts(_ manager: NotifySocket, isActivated: Bool) -> DaemonFacts.Systemd {
        var facts = DaemonFacts.Systemd()
        facts.notify = manager.isPresent
        facts.journal = JournalStream.isStandardError
        facts.socketActivated = isActivated
        // Variables that are of no use are reported once the log is there.
        facts.watchdog = (try? Watchdog.interval()) != nil
        return facts
    }

    /// The sockets systemd passed, else one of our own; those for the metrics apart.
    private static func listeners(
        _ passed: [PassedDescriptor], _ options: DaemonOptions, _ configuration: Configuration, _ log: DaemonLog
    ) throws(SystemError) -> (listeners: [UnixListener], areInherited: Bool, metrics: [UnixListener]) {
        var inherited: [UnixListener] = []
        var metrics: [UnixListener] = []
        for descriptor in passed {
            if descriptor.isForMetrics {
                metrics.append(try UnixListener(adopting: descriptor.descriptor.duplicate()))
                continue
            }
            guard descriptor.kind == .unixListener else {
                log.logger.log(
                    .descriptorsDropped, level: .warning,
                    "the passed descriptor \(descriptor.name) is no listening socket")
                continue
            }
            inherited.append(try UnixListener(adopting: descriptor.descriptor.duplicate()))
        }
        guard inherited.isEmpty else { return (inherited, true, metrics) }
        let path = options.socket ?? configuration.daemon.socket ?? SocketLocation.standard()
        let isOurs = options.socket == nil && SocketLocation.isPrivate(path)
        // Everybody may connect who can reach it: what a client may do is decided by its credentials.
        let mask = umask(0)
        defer { umask(mask) }
        return ([try UnixListener(path: path, privateDirectory: isOurs)], false, metrics)
    }

    private static func report(_ error: any Error, _ log: DaemonLog, _ manager: NotifySocket) -> Int32 {
        switch error {
        case let error as ConfigurationError:
            log.report(error, level: .critical)
            manager.announce(.errno(error.errno), .status(error.summary), log: log.logger)
            return ConfigurationError.exitStatus
        case let error as SystemError:
            fail("\(error)", errno: error.errno, log, manager)
        default:
            fail("\(error)", errno: EIO, log, manager)
        }
        return 1
    }

    private static func fail(_ text: String, errno: CInt, _ log: DaemonLog, _ manager: NotifySocket) {
        log.logger.critical("cannot go on: \(text)", metadata: ["ERRNO": "\(errno)"])
        manager.announce(.errno(errno), .status(text), log: log.logger)
    }
}

extension PassedDescriptor {
    /// A listening socket, of any family, that a unit passes for the metrics.
    var isForMetrics: Bool {
        name == MetricsSocket.descriptorName && (kind == .unixListener || kind == .otherListener)
    }
}

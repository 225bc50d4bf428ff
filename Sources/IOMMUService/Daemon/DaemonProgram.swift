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
        do {
            prepareProcess()
            let passed = try PassedDescriptor.take()
            let configuration = try options.load()
            log = DaemonLog(level: options.logLevel ?? configuration.daemon.logLevel)
            let sockets = try listeners(passed, options, configuration, log)
            let facts = DaemonFacts(systemd: systemdFacts(manager, isActivated: sockets.areInherited))
            let daemon = try Daemon(
                configuration, options: options, facts: facts, log: log, manager: manager, makeBackend: makeBackend)
            try daemon.run(sockets.listeners)
            return 0
        } catch {
            return report(error, log, manager)
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
        } catch {
            return report(error, DaemonLog(level: .info), NotifySocket())
        }
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

    /// The sockets systemd passed, else one of our own.
    private static func listeners(
        _ passed: [PassedDescriptor], _ options: DaemonOptions, _ configuration: Configuration, _ log: DaemonLog
    ) throws(SystemError) -> (listeners: [UnixListener], areInherited: Bool) {
        var inherited: [UnixListener] = []
        for descriptor in passed {
            guard descriptor.kind == .unixListener else {
                log.logger.log(
                    .descriptorsDropped, level: .warning,
                    "the passed descriptor \(descriptor.name) is no listening socket")
                continue
            }
            inherited.append(try UnixListener(adopting: descriptor.descriptor.duplicate()))
        }
        guard inherited.isEmpty else { return (inherited, true) }
        let path = options.socket ?? configuration.daemon.socket ?? SocketLocation.standard()
        let isOurs = options.socket == nil && SocketLocation.isPrivate(path)
        // Everybody may connect who can reach it: what a client may do is decided by its credentials.
        let mask = umask(0)
        defer { umask(mask) }
        return ([try UnixListener(path: path, privateDirectory: isOurs)], false)
    }

    private static func report(_ error: any Error, _ log: DaemonLog, _ manager: NotifySocket) -> Int32 {
        switch error {
        case let error as ConfigurationError:
            log.logger.log(
                .configurationRejected, level: .critical, "\(error.description)", ["ERRNO": "\(error.errno)"])
            manager.announce(.errno(error.errno), .status(error.description), log: log.logger)
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

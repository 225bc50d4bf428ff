import Logging
import Systemd

extension ServiceNotifying {
    /// Tells the service manager, if there is one, what it can do without: the daemon goes on where it cannot be told.
    func announce(_ notifications: Notification..., log: Logger) {
        do {
            try notify(notifications)
        } catch {
            log.warning("\(error)", metadata: ["ERRNO": "\(error.errno)"])
        }
    }
}

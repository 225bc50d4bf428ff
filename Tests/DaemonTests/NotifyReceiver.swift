import CLinux
import Foundation
import Testing

/// A service manager's end of `$NOTIFY_SOCKET`.
final class NotifyReceiver {
    let path: String
    private let descriptor: Int32

    init(path: String) throws {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        try #require(descriptor >= 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0)
    }

    deinit { close(descriptor) }

    /// The lines of the next message, or nil if none comes in time.
    func next(milliseconds: Int32 = 10_000) -> [String]? {
        var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&wait, 1, milliseconds) == 1 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return nil }
        return String(decoding: buffer.prefix(count), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// Reads on until a message has a line that begins so. - Returns: that line.
    func wait(for prefix: String, milliseconds: Int32 = 10_000) -> String? {
        let deadline = Date(timeIntervalSinceNow: Double(milliseconds) / 1000)
        while case let left = deadline.timeIntervalSinceNow, left > 0 {
            guard let lines = next(milliseconds: Int32(left * 1000) + 1) else { return nil }
            if let line = lines.first(where: { $0.hasPrefix(prefix) }) { return line }
        }
        return nil
    }
}

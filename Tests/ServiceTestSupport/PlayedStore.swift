import CLinux
import Glibc
import LinuxIO

/// A service manager's descriptor store as systemd 252 and 257 have it, without a process.
///
/// It keeps one descriptor of each open file, silently drops what is too much, and polls what it keeps unless told not
/// to with the first store of a file. Messages of several descriptors keep those that chance takes.
package final class PlayedStore {
    private struct Kept {
        var name: String
        var descriptor: Int32
        var isPolled: Bool
    }

    private var kept: [Kept] = []
    /// FileDescriptorStoreMax=
    package let capacity: Int
    /// Stores that were dropped.
    package private(set) var dropped = 0

    /// An empty one.
    package init(capacity: Int) { self.capacity = capacity }

    deinit { for entry in kept { close(entry.descriptor) } }

    /// How many descriptors it has.
    package var count: Int { kept.count }
    /// Their names, in no order that means anything.
    package var names: [String] { kept.map(\.name) }

    /// Takes one message with its descriptors, which it copies.
    ///
    /// - Returns: whether it is a barrier: then who sent it is to be told.
    package func take(_ message: String, _ descriptors: [Int32]) -> Bool {
        var values: [Substring: Substring] = [:]
        for line in message.split(separator: "\n") {
            guard let equals = line.firstIndex(of: "=") else { continue }
            values[line[..<equals]] = line[line.index(after: equals)...]
        }
        // FDSTORE and BARRIER in one message store nothing.
        if values["BARRIER"] == "1" { return descriptors.count == 1 }
        let name = values["FDNAME"].map(String.init) ?? "stored"
        if values["FDSTOREREMOVE"] == "1" {
            for entry in kept where entry.name == name { close(entry.descriptor) }
            kept.removeAll { $0.name == name }
        } else if values["FDSTORE"] == "1" {
            for descriptor in descriptors.shuffled() { store(descriptor, name, isPolled: values["FDPOLL"] != "0") }
        }
        return false
    }

    private func store(_ descriptor: Int32, _ name: String, isPolled: Bool) {
        guard !kept.contains(where: { isSameOpenFile($0.descriptor, descriptor) }), kept.count < capacity else {
            dropped += 1
            return
        }
        kept.append(Kept(name: name, descriptor: fcntl(descriptor, F_DUPFD_CLOEXEC, 500), isPolled: isPolled))
    }

    /// Drops what hangs up, as an event loop would.
    package func poll() {
        for (index, entry) in kept.enumerated().reversed() where entry.isPolled {
            var wanted = pollfd(fd: entry.descriptor, events: 0, revents: 0)
            guard Glibc.poll(&wanted, 1, 0) > 0, wanted.revents & Int16(POLLHUP | POLLERR) != 0 else { continue }
            close(entry.descriptor)
            kept.remove(at: index)
        }
    }

    /// What a service gets at its start, which the store goes on keeping: by name; the order means nothing.
    package func passed() -> [(name: String, descriptor: Int32)] {
        poll()
        return kept.map { ($0.name, fcntl($0.descriptor, F_DUPFD_CLOEXEC, 3)) }.shuffled()
    }

    /// Loses one, as a smaller FileDescriptorStoreMax= would.
    package func lose(_ name: String) {
        for entry in kept where entry.name == name { close(entry.descriptor) }
        kept.removeAll { $0.name == name }
    }
}

/// Whether two descriptors are one open file: then what moves the place of one moves that of the other.
private func isSameOpenFile(_ left: Int32, _ right: Int32) -> Bool {
    var (first, second) = (stat(), stat())
    guard fstat(left, &first) == 0, fstat(right, &second) == 0, first.st_dev == second.st_dev,
        first.st_ino == second.st_ino
    else { return false }
    let (before, other) = (lseek(left, 0, Int32(SEEK_CUR)), lseek(right, 0, Int32(SEEK_CUR)))
    guard before >= 0, other == before else { return before < 0 }
    lseek(left, before + 1, Int32(SEEK_SET))
    defer { lseek(left, before, Int32(SEEK_SET)) }
    return lseek(right, 0, Int32(SEEK_CUR)) == before + 1
}

import Glibc

/// What a journal begins with.
package struct JournalHead: Sendable, Equatable {
    /// A random number; another one where nothing was found of before.
    package var generation: UInt64
    /// How often the daemon has started with this state, up to this head.
    package var starts: UInt32
    /// Of which backend it is: another one has nothing of what the journal names.
    package var backend: String
    /// Of which run of the system it is, likewise.
    package var boot: String

    /// With these properties.
    package init(generation: UInt64, starts: UInt32, backend: String, boot: String = Self.currentBoot) {
        (self.generation, self.starts) = (generation, starts)
        (self.backend, self.boot) = (backend, boot)
    }

    /// A head like no other.
    package static func fresh(backend: String) -> JournalHead {
        JournalHead(generation: .random(in: 1...UInt64(Int64.max)), starts: 1, backend: backend)
    }

    /// As `/proc/sys/kernel/random/boot_id` has it; nothing where it cannot be read.
    package static let currentBoot: String = {
        let file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = read(file, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, count)).prefix { $0 > 0x20 }, as: UTF8.self)
    }()

    // MARK: Bytes

    /// Bytes that every head begins with.
    static let magic = Array("iommud state\n".utf8)
    /// What this program writes, and the newest that it reads.
    package static let version: UInt32 = 2
    /// The oldest that it reads: with no backend in the head, which was the emulated one.
    static let oldest: UInt32 = 1

    func write(to buffer: RecordBuffer) {
        Self.magic.withUnsafeBytes { buffer.put(raw: $0) }
        let start = buffer.begin()
        buffer.put(Self.version)
        buffer.put(generation)
        buffer.put(starts)
        buffer.put(boot)
        buffer.put(backend)
        buffer.end(start)
    }
}

import Foundation
import TestSupport
import Testing

/// Files of a real FUSE server that answers everything but reads: a page of one never comes.
final class SilentFiles {
    let directory: String
    private let server: ChildProcess
    private let pipes: TwoPipes

    /// Mounting takes CAP_SYS_ADMIN and /dev/fuse.
    static let areThere: Bool = (try? SilentFiles()) != nil

    init() throws {
        directory = try RunningDaemon.makeDirectory()
        pipes = try TwoPipes()
        server = try ChildProcess(
            "/usr/bin/python3", ["-Ic", Self.program, directory], descriptors: pipes.ofChild)
        try pipes.hear("m", "mounted")
    }

    deinit {
        end()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Returns once somebody waits for one more page.
    func waitForRead() throws { try pipes.hear("r", "a read of a page") }

    /// The server ends: the kernel fails everything that waits for it.
    func end() {
        server.signal(SIGKILL)
        server.wait()
        _ = try? ChildProcess("/usr/bin/umount", ["-l", directory]).wait()
    }

    private static let program = """
        import ctypes, os, struct, sys
        fuse = os.open('/dev/fuse', os.O_RDWR)
        options = f'fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other'
        libc = ctypes.CDLL(None)
        if libc.mount(b'silent', sys.argv[1].encode(), b'fuse', 6, options.encode()): sys.exit(1)
        os.write(4, b'm')
        def attributes(node):
            mode, size = (0o040755, 4096) if node == 1 else (0o100666, 1 << 20)
            return struct.pack('<6Q10I', node, size, size >> 9, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
        def reply(unique, payload=b'', error=0):
            os.write(fuse, struct.pack('<IiQ', 16 + len(payload), error, unique) + payload)
        while True:
            request = os.read(fuse, 1 << 18)
            operation, unique, node = struct.unpack_from('<IQQ', request, 4)
            if operation == 26: # FUSE_INIT
                reply(unique, struct.pack('<4I2H2I2H8I', 7, 31, 0, 0, 1000, 1000, 1 << 17, 1, 0, 0, *[0] * 8))
            elif operation == 1: # FUSE_LOOKUP of a number
                number = 2 + int(request[40:].rstrip(b'\\0'))
                reply(unique, struct.pack('<4Q2I', number, 0, 60, 60, 0, 0) + attributes(number))
            elif operation == 3: # FUSE_GETATTR
                reply(unique, struct.pack('<QII', 60, 0, 0) + attributes(node))
            elif operation in (14, 27): # FUSE_OPEN, FUSE_OPENDIR
                reply(unique, struct.pack('<QII', 1, 0, 0))
            elif operation in (18, 25, 29): # FUSE_RELEASE, FUSE_FLUSH, FUSE_RELEASEDIR
                reply(unique)
            elif operation == 15: # FUSE_READ
                os.write(4, b'r')
            elif operation not in (2, 36, 42): # FUSE_FORGET, FUSE_INTERRUPT, FUSE_BATCH_FORGET
                reply(unique, error=-38)
        """
}

/// A process that has mapped a page that never comes, and ordinary memory.
final class ProcessWithSilentPage {
    let process: ChildProcess
    /// Of the file.
    let page: UInt64
    /// Of 64 KiB that are there.
    let memory: UInt64
    private let pipes: TwoPipes

    /// - Parameter number: which file it maps.
    init(_ files: SilentFiles, _ number: Int) throws {
        pipes = try TwoPipes()
        process = try ChildProcess(
            "/usr/bin/python3",
            [
                "-Ic",
                """
                import ctypes, mmap, os, struct, sys
                def place(area): return ctypes.addressof(ctypes.c_char.from_buffer(area))
                file = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 4096)
                memory = mmap.mmap(-1, 1 << 16)
                memory.write(b'm' * (1 << 16))
                os.write(4, struct.pack('<QQ', place(file), place(memory)))
                os.read(3, 1)
                """, files.directory + "/\(number)",
            ], descriptors: pipes.ofChild)
        (page, memory) = try (pipes.hearAddress(), pipes.hearAddress())
    }
}

/// What a test says to a child, and hears of it.
private final class TwoPipes {
    private let toChild: Int32
    private let fromChild: Int32
    private var passed: [Int32]

    init() throws {
        var (orders, news): ([Int32], [Int32]) = ([0, 0], [0, 0])
        try #require(pipe(&orders) == 0 && pipe(&news) == 0)
        for descriptor in orders + news { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        (toChild, fromChild, passed) = (orders[1], news[0], [orders[0], news[1]])
    }

    deinit { for descriptor in passed + [toChild, fromChild] { close(descriptor) } }

    /// What a child takes as 3 and 4.
    var ofChild: [Int32] { passed }

    func hear(_ word: Character, _ what: Comment) throws {
        closePassed()
        var byte: UInt8 = 0
        try #require(read(fromChild, &byte, 1) == 1 && byte == word.asciiValue, what)
    }

    func hearAddress() throws -> UInt64 {
        closePassed()
        var address: UInt64 = 0
        try #require(withUnsafeMutableBytes(of: &address) { read(fromChild, $0.baseAddress, 8) } == 8, "an address")
        return address
    }

    /// The child alone has them from then on, so that its end is seen.
    private func closePassed() {
        for descriptor in passed { close(descriptor) }
        passed = []
    }
}

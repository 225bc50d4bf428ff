import CLinux
import Glibc
import LinuxIO

/// Files that are named on the command line.
enum FileContents {
    /// As ``read(_:)``; `-` is standard input.
    static func named(_ path: String) throws(Failure) -> [UInt8] {
        path == "-" ? try all(STDIN_FILENO, "standard input") : try read(path)
    }

    /// The bytes of a file; what gzip has packed is unpacked.
    static func read(_ path: String) throws(Failure) -> [UInt8] {
        let file: Descriptor
        do throws(SystemError) { file = try Descriptor(opening: path, O_RDONLY) } catch {
            throw failure("read", path, error.errno)
        }
        let bytes = try all(file.number, path)
        return bytes.starts(with: [0x1f, 0x8b]) ? try unpacked(path) : bytes
    }

    private static func failure(_ what: String, _ path: String, _ errno: Int32) -> Failure {
        .usage("cannot \(what) \(path): \(String(cString: strerror(errno)))")
    }

    private static func all(_ descriptor: Int32, _ path: String) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failure("read", path, errno) }
            if count == 0 { return bytes }
            bytes += buffer.prefix(count)
        }
    }

    private static func unpacked(_ path: String) throws(Failure) -> [UInt8] {
        let unpacked: Descriptor
        do throws(SystemError) {
            unpacked = try Descriptor(opened: clinux_memfd_create("unpacked", false), "memfd_create")
        } catch {
            throw failure("unpack", path, error.errno)
        }
        let output = unpacked.number
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        let words = ["gzip", "-dc", "--", path]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child = pid_t()
        var status: Int32 = 0
        let problem = posix_spawnp(&child, "gzip", &actions, nil, &arguments, environ)
        guard problem == 0, waitpid(child, &status, 0) == child, status == 0 else {
            throw .usage("cannot unpack \(path) with gzip")
        }
        lseek(output, 0, SEEK_SET)
        let bytes = try all(output, path)
        _ = consume unpacked
        return bytes
    }
}

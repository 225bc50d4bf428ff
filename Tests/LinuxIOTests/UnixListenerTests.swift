import CLinux
import Glibc
import Testing

@testable import LinuxIO

@Suite struct UnixListenerTests {
    /// A directory of its own, removed with what is in it.
    final class Directory {
        let path: String

        init() throws {
            var template = Array("/tmp/linuxio-listen-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { throw SystemError.current("mkdtemp") }
            path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        deinit {
            for name in ["s", "d/s"] { unlink("\(path)/\(name)") }
            rmdir("\(path)/d")
            rmdir(path)
        }
    }

    let directory: Directory

    init() throws { directory = try Directory() }

    @Test func replacesASocketNobodyAnswersOn() throws {
        let path = directory.path + "/s"
        let stale = clinux_unix_socket(true)
        #expect(clinux_unix_bind(stale, path) == 0)
        #expect(close(stale) == 0)
        let listener = try UnixListener(path: path)
        let taken = #expect(throws: SystemError.self) { try UnixListener(path: path) }
        #expect(taken?.errno == EADDRINUSE)
        // Who has it: this very process.
        #expect(taken?.operation.hasPrefix("bind \(path), which process \(getpid()) (") == true)
        listener.shutDown()
        #expect(access(path, F_OK) != 0)
    }

    @Test func keepsAFileThatIsNoSocket() throws {
        let path = directory.path + "/s"
        let file = open(path, O_CREAT | O_WRONLY, 0o600)
        #expect(close(file) == 0)
        #expect(throws: SystemError(errno: EADDRINUSE, "bind \(path)")) { try UnixListener(path: path) }
        #expect(access(path, F_OK) == 0)
    }

    @Test func leavesASuccessorsSocketAlone() throws {
        let path = directory.path + "/s"
        let old = try UnixListener(path: path)
        unlink(path)
        let new = try UnixListener(path: path)
        old.shutDown()
        #expect(access(path, F_OK) == 0)
        new.shutDown()
    }

    @Test func makesAPrivateDirectory() throws {
        let path = directory.path + "/d/s"
        #expect(throws: SystemError.self) { try UnixListener(path: path) }
        let listener = try UnixListener(path: path, mode: 0o600, privateDirectory: true)
        var status = stat()
        #expect(stat(directory.path + "/d", &status) == 0)
        #expect(status.st_mode & 0o777 == 0o700)
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        listener.shutDown()
        // Others could replace a socket in a directory that they may write to.
        #expect(chmod(directory.path + "/d", 0o777) == 0)
        #expect(throws: SystemError.self) { try UnixListener(path: path, privateDirectory: true) }
    }

    @Test func refusesAPathThatIsTooLong() {
        let path = directory.path + "/" + String(repeating: "x", count: 120)
        #expect(throws: SystemError(errno: ENAMETOOLONG, "bind \(path)")) { try UnixListener(path: path) }
    }
}

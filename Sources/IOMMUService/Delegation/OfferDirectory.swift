import Glibc
import IOMMU
import LinuxIO

/// The directory with the sockets of offers: everybody may look for a name there, and nobody may read which there are.
struct OfferDirectory {
    /// Where it is.
    let path: String

    /// That of the service, which tmpfiles.d makes.
    static let ofService = "/run/iommud-offers"

    /// Beside the socket that the daemon listens on.
    init(besides socket: String) {
        let directory = socket.lastIndex(of: "/").map { String(socket[..<$0]) } ?? "."
        path = socket == SocketLocation.ofService ? Self.ofService : "\(directory)/iommud-offers"
    }

    /// Removes the sockets that a daemon has left there which is no more.
    func clear() {
        for name in (try? SmallFile.names(in: path)) ?? [] where Self.isName(name) { _ = unlink("\(path)/\(name)") }
    }

    /// A socket in it, of a name that nobody can guess.
    ///
    /// - Parameter gid: the group that may connect. Where the daemon cannot give the file to it, everybody may who
    ///   knows the name: who it is is looked at in any case.
    func listen(for gid: UInt32) throws(SystemError) -> UnixListener {
        try make()
        let listener = try UnixListener(path: "\(path)/\(Self.name())", mode: 0o600)
        guard let place = listener.path else { return listener }
        let isGiven = lchown(place, .max, gid) == 0
        guard chmod(place, isGiven ? 0o660 : 0o666) == 0 else { throw .current("chmod \(place)") }
        return listener
    }

    private func make() throws(SystemError) {
        if mkdir(path, 0o700) == 0 {
            // Whatever the umask is.
            guard chmod(path, 0o711) == 0 else { throw .current("chmod \(path)") }
            return
        }
        guard errno == EEXIST else { throw .current("mkdir \(path)") }
        var status = stat()
        guard lstat(path, &status) == 0 else { throw .current("stat \(path)") }
        guard status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
            throw SystemError(errno: EPERM, "\(path) is not a directory that only this user can write to")
        }
    }

    /// 128 random bits.
    private static func name() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<4).map { _ in
            let digits = String(UInt32.random(in: 0...UInt32.max, using: &generator), radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }.joined()
    }

    private static func isName(_ name: String) -> Bool {
        name.utf8.count == 32
            && name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

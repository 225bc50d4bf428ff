import Glibc
import LinuxIO
import Testing

@Suite struct ErrnoTests {
    @Test(arguments: [
        (EPERM, "EPERM"), (ENOENT, "ENOENT"), (ESRCH, "ESRCH"), (EIO, "EIO"), (EAGAIN, "EAGAIN"), (EFAULT, "EFAULT"),
        (EBUSY, "EBUSY"), (EEXIST, "EEXIST"), (ENODEV, "ENODEV"), (EINVAL, "EINVAL"), (EMFILE, "EMFILE"),
        (ENOTTY, "ENOTTY"), (ENOSPC, "ENOSPC"), (EOVERFLOW, "EOVERFLOW"), (EOPNOTSUPP, "EOPNOTSUPP"),
        (EADDRINUSE, "EADDRINUSE"), (ETIMEDOUT, "ETIMEDOUT"), (EDQUOT, "EDQUOT"), (9999, "E9999"), (0, "E0"),
        (-1, "E-1"),
    ])
    func namesErrnos(errno: Int32, name: String) {
        #expect(Errno.name(of: errno) == name)
    }

    @Test func numbersAreTheCLibrarys() {
        let some: [Errno: Int32] = [
            .EPERM: EPERM, .EDEADLK: EDEADLK, .ENODATA: ENODATA, .EOVERFLOW: EOVERFLOW, .EOPNOTSUPP: EOPNOTSUPP,
            .ECONNRESET: ECONNRESET, .EDQUOT: EDQUOT, .ECANCELED: ECANCELED, .ENOTRECOVERABLE: ENOTRECOVERABLE,
        ]
        for (errno, number) in some { #expect(errno.rawValue == number) }
        // Each of them has a text; what has none says "Unknown error".
        for errno in Errno.allCases { #expect(!String(cString: strerror(errno.rawValue)).hasPrefix("Unknown")) }
    }
}

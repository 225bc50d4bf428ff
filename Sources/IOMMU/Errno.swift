/// The Linux errnos that a refusal may carry, with the numbers of the generic Linux ABI.
///
/// Spelled as in `errno(3)`: clients compare the names.
package enum Errno: Int32, Sendable, CaseIterable {
    case EPERM = 1
    case ENOENT = 2
    case ESRCH = 3
    case EINTR = 4
    case EIO = 5
    case ENXIO = 6
    case E2BIG = 7
    case EBADF = 9
    case EAGAIN = 11
    case ENOMEM = 12
    case EACCES = 13
    case EFAULT = 14
    case EBUSY = 16
    case EEXIST = 17
    case ENODEV = 19
    case EINVAL = 22
    case EMFILE = 24
    case ENOTTY = 25
    case EFBIG = 27
    case ENOSPC = 28
    case ESPIPE = 29
    case EROFS = 30
    case ERANGE = 34
    case EDEADLK = 35
    case EOVERFLOW = 75
    case EBADFD = 77
    case EMSGSIZE = 90
    case EOPNOTSUPP = 95
    case EADDRINUSE = 98
    case ETIMEDOUT = 110
    case EDQUOT = 122
    case ECANCELED = 125

    /// The name clients see in `error.data.errno`.
    package var name: String { "\(self)" }
}

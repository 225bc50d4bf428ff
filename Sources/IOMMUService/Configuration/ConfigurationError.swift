import Glibc

/// Why a configuration cannot be used: one mistake, where it is, and what to do about it.
package struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Where the mistake is.
    package enum Place: Sendable, Equatable {
        /// The file as a whole: it is missing, unreadable or too large.
        case file
        /// A syntax error, or text that is not UTF-8; both count from 1.
        case position(line: Int, column: Int)
        /// A key, such as `device[3].smmu`; elements of arrays count from 0.
        case key(String)
    }

    /// The path as it was given.
    package var file: String
    /// Where in the file.
    package let place: Place
    /// What is wrong.
    package let problem: String
    /// What to do.
    package let remedy: String
    /// What systemd is told: EINVAL, or why the file could not be read. Positive.
    package let errno: CInt

    /// sysexits(3): EX_CONFIG, the exit status of a daemon that cannot use its configuration.
    package static let exitStatus: CInt = 78

    /// A mistake. The errno is what the service manager is told (`ERRNO=`).
    package init(file: String, _ place: Place, _ problem: String, remedy: String, errno: CInt = EINVAL) {
        self.file = file
        self.place = place
        self.problem = problem
        self.remedy = remedy
        self.errno = errno
    }

    /// One line: `FILE:LINE:COLUMN: problem; remedy` or `FILE: KEY: problem; remedy`.
    package var description: String {
        switch place {
        case .file: "\(file): \(problem); \(remedy)"
        case .position(let line, let column): "\(file):\(line):\(column): \(problem); \(remedy)"
        case .key(let path): "\(file): \(path): \(problem); \(remedy)"
        }
    }
}

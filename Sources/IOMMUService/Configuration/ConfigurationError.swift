import Glibc

/// Why a configuration cannot be used: a mistake, where it is, and what to do about it; and all others of the file.
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

    /// The other mistakes of the file, in its order.
    package internal(set) var others: [ConfigurationError] = []
    /// How many there are besides that are not told.
    package internal(set) var untold = 0

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
    package var description: String { "\(statement); \(remedy)" }

    /// A line for each mistake.
    package var lines: [String] {
        [description] + others.map(\.description) + (untold > 0 ? ["\(file): and \(untold) more mistakes"] : [])
    }

    /// ``description``, and how many more mistakes there are.
    package var summary: String {
        let more = others.count + untold
        return more == 0 ? description : "\(description) (and \(more) more mistake\(more == 1 ? "" : "s"))"
    }

    /// ``description`` without what to do.
    var statement: String {
        switch place {
        case .file: "\(file): \(problem)"
        case .position(let line, let column): "\(file):\(line):\(column): \(problem)"
        case .key(let path): "\(file): \(path): \(problem)"
        }
    }
}

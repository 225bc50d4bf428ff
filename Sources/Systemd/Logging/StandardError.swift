import CSystemd
import Glibc

/// Standard error as an unbuffered sink of whole lines that never waits for whoever reads it.
enum StandardError {
    /// As much as fits into a pipe that is said to be writable (`PIPE_BUF`).
    private static let pieceBytes = 4096

    /// Writes all of `text`. What finds no room is left out and counted, and so is what follows an error, since there
    /// is nowhere to report it.
    static func write(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            guard hasRoom else { return LeftOutEntries.add() }
            let written = rest.prefix(pieceBytes).withUnsafeBytes { piece in
                // A socket takes part of what finds no room for all; another descriptor is no socket.
                let sent = send(STDERR_FILENO, piece.baseAddress, piece.count, Int32(MSG_DONTWAIT))
                guard sent < 0, errno == ENOTSOCK else { return sent }
                return Glibc.write(STDERR_FILENO, piece.baseAddress, piece.count)
            }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { return LeftOutEntries.add() }
            rest = rest.dropFirst(written)
        }
    }

    private static var hasRoom: Bool {
        var question = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        return poll(&question, 1, 0) > 0 && question.revents & Int16(POLLOUT) != 0
    }
}

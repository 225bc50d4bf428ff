import CLinux
import Glibc
import LinuxIO
import TestSupport

/// A terminal at which the test sits: what a program writes there, and keys for it.
final class PlayedTerminal {
    private let side: Descriptor
    private var held: SharedDescriptor?
    /// The program's side.
    var program: Int32 { held?.number ?? -1 }
    /// All that has been written so far.
    private(set) var text = ""

    // TIOCSPTLCK and TIOCGPTN of asm-generic/ioctls.h, which are no constants for Swift.
    private static let setLock: UInt = 0x4004_5431
    private static let getNumber: UInt = 0x8004_5430

    init(columns: Int, lines: Int = 40) throws {
        side = Descriptor(adopting: open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC))
        var isLocked: Int32 = 0
        var number: UInt32 = 0
        guard ioctl(side.number, Self.setLock, &isLocked) == 0, ioctl(side.number, Self.getNumber, &number) == 0 else {
            throw Unexpected("no terminal")
        }
        held = SharedDescriptor(Descriptor(adopting: open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)))
        resize(columns: columns, lines: lines)
    }

    /// Changes its size; nobody is told.
    func resize(columns: Int, lines: Int = 40) {
        var size = winsize(ws_row: UInt16(lines), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(side.number, UInt(TIOCSWINSZ), &size)
    }

    /// Presses keys.
    func type(_ keys: String) {
        let bytes = Array(keys.utf8)
        _ = write(side.number, bytes, bytes.count)
    }

    /// Waits until what has been written behind a place has these words; the place behind them.
    @discardableResult
    func wait(for words: String, after place: Int = 0) throws -> Int {
        while true {
            if let found = Self.end(of: words, in: Array(text.utf8.dropFirst(place))) { return place + found }
            var waiting = pollfd(fd: side.number, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 20_000) == 1, readMore() else {
                throw Unexpected("“\(words)” does not come; there is:\n\(text)")
            }
        }
    }

    private static func end(of words: String, in text: [UInt8]) -> Int? {
        let wanted = Array(words.utf8)
        guard text.count >= wanted.count else { return nil }
        return (0...(text.count - wanted.count)).first { text[$0...].starts(with: wanted) }.map { $0 + wanted.count }
    }

    private func readMore() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = read(side.number, &bytes, bytes.count)
        guard count > 0 else { return false }
        text += String(decoding: bytes.prefix(count), as: UTF8.self)
        return true
    }

    /// Everything up to the end of the last program at it; nobody can be put there any more.
    func readAll() -> String {
        held = nil
        while readMore() {}
        return text
    }
}

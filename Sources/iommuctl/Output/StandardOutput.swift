import Glibc

/// Unbuffered standard output and error.
enum StandardOutput {
    /// Writes all of `text`. A reader that has gone away ends the program, as it would have with SIGPIPE.
    static func write(_ text: String) { write(bytes: Array(text.utf8)) }

    /// As ``write(_:)``, of bytes as they are.
    static func write(bytes: [UInt8]) {
        guard !write(bytes, to: STDOUT_FILENO) else { return }
        let reason = errno
        guard reason != EPIPE else { exit(0) }
        writeError("iommuctl: cannot write the output: \(String(cString: strerror(reason)))\n")
        exit(ExitStatus.unusable.rawValue)
    }

    static func writeError(_ text: String) {
        _ = write(Array(text.utf8), to: STDERR_FILENO)
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else { return false }
            rest = rest.dropFirst(written)
        }
        return true
    }
}

/// Text of others, made harmless for a terminal.
enum Printable {
    /// Control characters become their escapes.
    static func text(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        return text.unicodeScalars.reduce(into: "") { result, scalar in
            result += isControl(scalar) ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
        }
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
    }
}

/// `0x…` in lower case, as messages and replies write addresses and register words.
package func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

/// A range as messages name it: "0x1000 bytes at 0x40000000".
package func span(_ length: UInt64, at start: UInt64) -> String {
    "\(hexadecimal(length)) bytes at \(hexadecimal(start))"
}

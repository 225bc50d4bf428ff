/// `0x…` in lower case, as messages and replies write addresses and register words.
package func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

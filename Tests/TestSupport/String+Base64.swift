import Foundation

extension String {
    /// The text's bytes as base64.
    package var base64: String { Data(utf8).base64EncodedString() }

    /// The bytes that the text is the base64 of.
    package var bytesOfBase64: [UInt8]? { Data(base64Encoded: self).map { Array($0) } }
}

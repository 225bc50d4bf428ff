import Foundation

extension String {
    /// The text's bytes as base64.
    var base64: String { Data(utf8).base64EncodedString() }
}

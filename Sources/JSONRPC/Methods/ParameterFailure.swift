import Glibc

/// The first thing wrong with the parameters of a call, and where.
struct ParameterFailure {
    enum Reason: String, CaseIterable {
        case missing = "missing_parameter"
        case unknown = "unknown_parameter"
        case duplicate = "duplicate_parameter"
        case wrongType = "wrong_type"
        case negative = "negative"
        case over64Bits = "over_64_bits"
        case badHex = "bad_hex"
        case badBase64 = "bad_base64"
        case unknownValue = "unknown_value"
        // Well-formed, but refused:
        case outOfRange = "out_of_range"
        case tooLong = "too_long"
        case badFormat = "bad_format"
        case wrongCount = "wrong_count"

        /// A value of the right form that is not allowed is refused with an errno, not as a mistake in the request.
        var isRefusal: Bool {
            switch self {
            case .outOfRange, .tooLong, .badFormat, .wrongCount: true
            default: false
            }
        }

        /// `error.code`.
        var code: Int { isRefusal ? -Int(EINVAL) : RPCError.invalidParams }

        /// What is wrong, as the end of a sentence about the parameter.
        var problem: String {
            switch self {
            case .missing: "is missing"
            case .unknown: "is not known"
            case .duplicate: "is given twice"
            case .wrongType: "has the wrong type"
            case .negative: "is negative"
            case .over64Bits: "does not fit"
            case .badHex: "is not a hexadecimal number"
            case .badBase64: "is not base64"
            case .unknownValue: "has an unknown value"
            case .outOfRange: "is out of range"
            case .tooLong: "is too long"
            case .badFormat: "is not of the required form"
            case .wrongCount: "has the wrong number of elements"
            }
        }
    }

    var reason = Reason.wrongType
    /// What would have been right.
    var expected = ""
    /// `mappings[3].iova`, built from the inside out.
    var path = ""

    mutating func set(_ reason: Reason, expected: String) {
        self.reason = reason
        self.expected = expected
        path = ""
    }

    mutating func within(member name: String) {
        path = path.isEmpty ? name : path.hasPrefix("[") ? name + path : name + "." + path
    }

    mutating func within(element index: Int) {
        path = path.isEmpty || path.hasPrefix("[") ? "[\(index)]" + path : "[\(index)]." + path
    }

    /// The error for a call of `method`.
    func error(method: String) -> RPCError {
        let name = path.isEmpty ? "params" : "parameter “\(path)”"
        var error = RPCError(
            code: reason.code, errno: EINVAL, reason: reason.rawValue,
            message: "\(method): \(name) \(reason.problem)", hint: expected)
        error.set("parameter", .string(path))
        return error
    }
}

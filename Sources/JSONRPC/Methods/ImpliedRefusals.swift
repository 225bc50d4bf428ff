import Glibc

/// The refusals that follow from the rest of a declaration: of parameters by their types, of descriptors, of the role.
extension MethodBuilder {
    func impliedRefusals(role: Role, parameters: [FieldSchema]) -> [MethodRefusal] {
        var implied: [MethodRefusal] = []
        if role == .admin {
            implied.append(MethodRefusal(errno: EPERM, reason: "not_allowed", doc: "The caller is no administrator."))
        }
        if descriptorsTaken.upperBound > 0 {
            implied.append(
                MethodRefusal(
                    errno: EBADF, reason: "descriptor_missing",
                    doc: "The request came without a descriptor that it takes."))
        }
        let mistakes = ParameterFailure.Reason.of(parameters)
        return implied + ParameterFailure.Reason.allCases.filter(mistakes.contains).map(\.refusal)
    }
}

extension ParameterFailure.Reason {
    /// What can be wrong with the members of an object.
    fileprivate static func of(_ fields: [FieldSchema]) -> Set<Self> {
        var reasons: Set<Self> = [.wrongType, .unknown]
        if !fields.isEmpty { reasons.insert(.duplicate) }
        if fields.contains(where: \.isRequired) { reasons.insert(.missing) }
        for field in fields { reasons.formUnion(of(field.type)) }
        return reasons
    }

    private static func of(_ type: TypeSchema) -> Set<Self> {
        switch type {
        case .any: return []
        case .bool, .signed, .signedOrNull, .number, .hex, .map: return [.wrongType]
        case .id: return [.wrongType, .negative, .over64Bits, .badHex]
        case .nameOrID: return [.wrongType, .negative, .over64Bits]
        case .unsigned(let range):
            return of(.id).union(range == 0...UInt64.max ? [] : [.outOfRange])
        case .string(let maximum, let pattern):
            return Set([.wrongType]).union(maximum == .max ? [] : [.tooLong]).union(pattern == nil ? [] : [.badFormat])
        case .choice, .flags: return [.wrongType, .unknownValue]
        case .base64(let maximum): return Set([.wrongType, .badBase64]).union(maximum == .max ? [] : [.tooLong])
        case .array(let element, let count):
            return Set([.wrongType]).union(of(element)).union(count == 0...Int.max ? [] : [.wrongCount])
        case .object(let fields): return of(fields)
        }
    }

    fileprivate var refusal: MethodRefusal {
        MethodRefusal(code: code, errno: EINVAL, reason: rawValue, doc: "A parameter \(problem).")
    }
}

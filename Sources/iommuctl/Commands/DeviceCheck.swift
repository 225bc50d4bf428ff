import JSONRPC

/// Whether devices can be had, before anything is done about it.
enum DeviceCheck {
    /// Says all that is wrong with the devices, at once, and throws if anything is.
    static func allUsable(_ names: [String], _ daemon: Daemon) throws(Failure) {
        var isUsable = true
        for name in names where try !isViable(name, daemon) { isUsable = false }
        guard isUsable else { throw .found }
    }

    private static func isViable(_ name: String, _ daemon: Daemon) throws(Failure) -> Bool {
        do throws(Failure) {
            let found = try daemon.call("device.explain", ["name": .string(name)])
            guard found["viable"]?.boolValue == false else { return true }
            for reason in found["reasons"]?.arrayValue ?? [] {
                let text = "\(name): \(reason["text"]?.stringValue ?? "not usable")"
                StandardOutput.writeError("iommuctl: \(Printable.text(text))\n")
                if let hint = reason["hint"]?.stringValue {
                    StandardOutput.writeError("hint: \(Printable.text(hint))\n")
                }
            }
        } catch {
            guard case .refused = error else { throw error }
            error.report(asJSON: false)
        }
        return false
    }
}

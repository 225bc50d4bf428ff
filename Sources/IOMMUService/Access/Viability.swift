import IOMMU

/// Whether a client can bind and attach a device, and if not, why: for `device.explain` and `topology.list` alike.
struct Viability {
    /// What the rules of access say against it.
    let refusal: IOMMUError?
    /// What the backend says against it.
    let explanation: DeviceExplanation

    var isViable: Bool { refusal == nil && explanation.viable }

    /// The first reason why not.
    var reason: String? { refusal?.message ?? explanation.reasons.first?.text }
}

extension Service {
    /// `EPERM` unless the client may bind the device.
    func requireBind(_ client: Client, device: String) throws(IOMMUError) {
        if let refusal = refusal(client, device: device) { throw refusal }
    }

    /// Why the client may not bind the device; nil if it may. Nothing keeps a device without an IOMMU from any memory
    /// of the machine: it is for administrators, whatever the rules say.
    private func refusal(_ client: Client, device name: String) -> IOMMUError? {
        if let refusal = policy.refusal(client.peer, device: name) { return refusal }
        guard !client.peer.identity.isAdmin, !backend.isOpenByDefault,
            backend.topology.devices.contains(where: { $0.name == name && $0.isNoIOMMU })
        else { return nil }
        return IOMMUError(
            .EPERM, .notAllowed, "device \(name) has no IOMMU before it, and could reach all memory of the machine",
            hint: "only administrators may use it, whatever [[allow]] says",
            ["device": .text(name), "uid": .number(UInt64(client.peer.identity.uid))])
    }

    /// The devices that a client is shown: those without an IOMMU are for administrators.
    func devices(of topology: TopologyState, for client: Client) -> [TopologyState.Device] {
        client.peer.identity.isAdmin ? topology.devices : topology.devices.filter { !$0.isNoIOMMU }
    }

    /// `ENODEV` for an unknown device.
    func viability(of device: String, for client: Client) throws(IOMMUError) -> Viability {
        Viability(
            refusal: refusal(client, device: device),
            explanation: try client.session.context.explain(deviceNamed: device))
    }

    /// What the rules of access say against devices that are yet to be bound.
    func refusals(of selectors: [DeviceSelector], for client: Client) -> [LayoutProblem] {
        selectors.compactMap { selector in
            guard case .name(let name) = selector, let refusal = refusal(client, device: name) else {
                return nil
            }
            return LayoutProblem(error: refusal, device: name)
        }
    }

    /// A group moves as one: what stands against one of its devices stands against all. - Returns: why not, if so.
    func obstacle(to group: TopologyState.Group, for client: Client) -> String? {
        do {
            for device in group.devices {
                let found = try viability(of: device, for: client)
                if !found.isViable { return found.reason ?? "device \(device) is not viable" }
            }
            return nil
        } catch {
            // A device has gone since the group was read.
            return error.message
        }
    }
}

/// What the connection counts on its user's account of bytes.
extension Link {
    /// What the client has sent of a line that does not end is on its user's account, and refused beyond it.
    func checkUnfinished() {
        guard registration != nil else { return }
        connection.account(input: input.capacity)
        guard input.count > 0, connection.canExecute, let bytes = connection.bytes else { return }
        do throws(RPCError) {
            try bytes.checkUnfinished()
        } catch {
            dispatcher.refuse(error, connection)
            connection.isClosing = true
            input.clear(keepingAtMost: 0)
            connection.account(input: 0)
        }
    }

    /// Its user has read enough on other connections.
    func goOn() {
        connection.waitsForRoom = false
        connectionMayGoOn()
    }
}

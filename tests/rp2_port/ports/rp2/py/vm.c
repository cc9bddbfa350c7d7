int mp_execute_bytecode(int number) {
    return number + 1;
}

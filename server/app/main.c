#include <stdio.h>

int main(void)
{
    puts("crier " CRIER_VERSION);
    return 0;
}
